// SPDX-License-Identifier: MIT
// Sealing, on OpenSSL.
#include "common/seal.h"

#include <array>
#include <memory>
#include <openssl/evp.h>

#include "common/digest.h"
#include "common/error.h"

namespace baton {

namespace {

constexpr std::size_t tag_bytes = 16;
/// A parameter is no file; OpenSSL counts in int.
constexpr std::size_t most_bytes = 16UL * 1024 * 1024;

struct Free {
    void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

const unsigned char* bytes_of(std::string_view text) {
    // OpenSSL takes text as unsigned bytes; the memory is the same.
    return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
}

unsigned char* bytes_of(std::string& text) { return static_cast<unsigned char*>(static_cast<void*>(text.data())); }

enum class Way { decrypt = 0, encrypt = 1 };

class Siv {
  public:
    Siv(Way way, std::string_view key)
        : cipher_(EVP_CIPHER_fetch(nullptr, "AES-256-SIV", nullptr)), context_(EVP_CIPHER_CTX_new()) {
        // 64 bytes: one half authenticates, the other encrypts.
        const std::string stretched = hmac_sha256(key, "baton seal, one half") + hmac_sha256(key, "baton seal, other");
        good_ = cipher_ && context_ &&
                EVP_CipherInit_ex2(context_.get(), cipher_.get(), bytes_of(stretched), nullptr, static_cast<int>(way),
                                   nullptr) == 1;
        if (!good_) throw Error(ErrorKind::internal, "OpenSSL has no AES-256-SIV");
    }

    void bind(std::string_view context) {
        int length = 0;
        step(EVP_CipherUpdate(context_.get(), nullptr, &length, bytes_of(context), static_cast<int>(context.size())));
    }
    void set_tag(std::string tag) {
        step(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, tag_bytes, tag.data()));
    }
    [[nodiscard]] std::string tag() {
        std::string tag(tag_bytes, '\0');
        step(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, tag_bytes, tag.data()));
        return tag;
    }
    [[nodiscard]] std::string work(std::string_view text) {
        std::string out(text.size(), '\0');
        int length = 0;
        step(EVP_CipherUpdate(context_.get(), bytes_of(out), &length, bytes_of(text), static_cast<int>(text.size())));
        std::array<unsigned char, tag_bytes> rest{};
        int none = 0;
        step(EVP_CipherFinal_ex(context_.get(), rest.data(), &none));
        return out;
    }
    [[nodiscard]] bool good() const { return good_; }

  private:
    void step(int answer) { good_ = good_ && answer == 1; }

    std::unique_ptr<EVP_CIPHER, Free> cipher_;
    std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
    bool good_ = false;
};

}  // namespace

std::string seal(std::string_view key, std::string_view plain, std::string_view context) {
    if (plain.empty() || plain.size() > most_bytes) throw Error(ErrorKind::invalid, "nothing that can be sealed");
    Siv siv(Way::encrypt, key);
    siv.bind(context);
    const std::string encrypted = siv.work(plain);
    const std::string tag = siv.tag();
    if (!siv.good()) throw Error(ErrorKind::internal, "sealing failed");
    return tag + encrypted;
}

std::string unseal(std::string_view key, std::string_view sealed, std::string_view context) {
    if (sealed.size() <= tag_bytes || sealed.size() > most_bytes) throw Error(ErrorKind::corrupt, "nothing sealed");
    Siv siv(Way::decrypt, key);
    siv.set_tag(std::string(sealed.substr(0, tag_bytes)));
    siv.bind(context);
    std::string plain = siv.work(sealed.substr(tag_bytes));
    if (!siv.good()) throw Error(ErrorKind::corrupt, "it was sealed with another key or for another place");
    return plain;
}

}  // namespace baton
