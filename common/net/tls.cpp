// SPDX-License-Identifier: MIT
// Making OpenSSL contexts.
#include "common/net/tls.h"

#include <array>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/error.h"
#include "common/file.h"

namespace baton::net {

namespace {

constexpr std::uint64_t max_pem_bytes = 1024 * 1024;

TlsContext new_context(const SSL_METHOD* method) {
    ERR_clear_error();
    TlsContext context(SSL_CTX_new(method), SSL_CTX_free);
    if (!context) throw Error(ErrorKind::internal, fmt::format("TLS: {}", take_tls_error()));
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_options(context.get(),
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    // Idle connections give their 34 KiB of buffers back; writes may be resumed from another address.
    SSL_CTX_set_mode(context.get(),
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

void load_certificate(SSL_CTX* context, const std::filesystem::path& certificate, const std::filesystem::path& key) {
    if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
        throw Error(ErrorKind::invalid, fmt::format("certificate file {}: {}", certificate.string(), take_tls_error()));
    }
    // Read for its checks only: missing, or readable by others.
    (void)with_context("private key file", [&] { return read_secret_file_whole(key, max_pem_bytes); });
    if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
        throw Error(ErrorKind::invalid, fmt::format("private key file {}: {}", key.string(), take_tls_error()));
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        throw Error(ErrorKind::invalid, fmt::format("private key file {} does not belong to certificate file {}",
                                                    key.string(), certificate.string()));
    }
}

void load_authorities(SSL_CTX* context, const std::filesystem::path& file) {
    if (SSL_CTX_load_verify_locations(context, file.c_str(), nullptr) != 1) {
        throw Error(ErrorKind::invalid, fmt::format("CA file {}: {}", file.string(), take_tls_error()));
    }
}

}  // namespace

std::string take_tls_error() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "unknown TLS error";
    if (const char* reason = ERR_reason_error_string(code)) return reason;
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return text.data();
}

TlsContext server_tls_context(const std::filesystem::path& certificate_file,
                              const std::filesystem::path& private_key_file,
                              const std::optional<std::filesystem::path>& client_ca_file) {
    TlsContext context = new_context(TLS_server_method());
    load_certificate(context.get(), certificate_file, private_key_file);
    if (client_ca_file) {
        load_authorities(context.get(), *client_ca_file);
        STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(client_ca_file->c_str());
        if (names == nullptr)
            throw Error(ErrorKind::invalid, fmt::format("CA file {}: {}", client_ca_file->string(), take_tls_error()));
        SSL_CTX_set_client_CA_list(context.get(), names);
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    // OpenSSL refuses to resume a verified session without a context of its own.
    constexpr std::array<unsigned char, 5> session{'b', 'a', 't', 'o', 'n'};
    SSL_CTX_set_session_id_context(context.get(), session.data(), session.size());
    return context;
}

TlsContext client_tls_context(const std::optional<std::filesystem::path>& ca_file,
                              const std::optional<std::filesystem::path>& certificate_file,
                              const std::optional<std::filesystem::path>& private_key_file) {
    TlsContext context = new_context(TLS_client_method());
    if (ca_file) {
        load_authorities(context.get(), *ca_file);
    } else if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
        throw Error(ErrorKind::invalid, fmt::format("the system's certificate authorities: {}", take_tls_error()));
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    if (certificate_file.has_value() != private_key_file.has_value()) {
        throw Error(ErrorKind::invalid, "a client certificate needs both a certificate file and a private key file");
    }
    if (certificate_file) load_certificate(context.get(), *certificate_file, *private_key_file);
    return context;
}

}  // namespace baton::net
