// SPDX-License-Identifier: MIT
// Digests on OpenSSL, base 64 on Poco, chance from the kernel.
#include "common/digest.h"

#include <Poco/Base64Decoder.h>
#include <Poco/Base64Encoder.h>
#include <array>
#include <cerrno>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sstream>
#include <sys/random.h>

#include "common/error.h"
#include "common/text.h"

namespace baton {

std::string sha256_hex(std::string_view bytes) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
        throw Error(ErrorKind::internal, "SHA-256 failed");
    }
    return to_hex(std::string(digest.begin(), digest.begin() + length));
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    // OpenSSL takes the text as unsigned bytes; the memory is the same.
    const auto* data = static_cast<const unsigned char*>(static_cast<const void*>(bytes.data()));
    if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data, bytes.size(), digest.data(), &length) ==
        nullptr) {
        throw Error(ErrorKind::internal, "HMAC-SHA256 failed");
    }
    return {digest.begin(), digest.begin() + length};
}

std::string base64_encode(std::string_view bytes) {
    std::ostringstream out;
    Poco::Base64Encoder encoder(out);
    encoder.rdbuf()->setLineLength(0);
    encoder.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    encoder.close();
    return out.str();
}

std::string base64_decode(std::string_view text) {
    // Poco passes over what it does not know, so the alphabet is checked here.
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    if (text.size() % 4 != 0 || text.find_first_not_of(alphabet) != std::string_view::npos) {
        throw Error(ErrorKind::invalid, "not base 64");
    }
    std::istringstream in{std::string(text)};
    Poco::Base64Decoder decoder(in);
    std::string bytes{std::istreambuf_iterator<char>(decoder), {}};
    if (decoder.bad()) throw Error(ErrorKind::invalid, "not base 64");
    return bytes;
}

std::string random_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    std::size_t have = 0;
    while (have < count) {
        const ssize_t got = getrandom(bytes.data() + have, count - have, 0);
        if (got < 0 && errno != EINTR) throw system_error("getrandom", errno);
        if (got > 0) have += static_cast<std::size_t>(got);
    }
    return bytes;
}

}  // namespace baton
