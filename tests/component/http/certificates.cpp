// SPDX-License-Identifier: MIT
// Making certificates with OpenSSL.
#include "certificates.h"

#include <functional>
#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdexcept>

namespace baton::test {

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

void add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
    if (extension == nullptr) throw std::runtime_error("certificate extension");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

std::string pem(const std::function<void(BIO*)>& write) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
    write(out.get());
    std::string text(static_cast<std::size_t>(BIO_pending(out.get())), '\0');
    BIO_read(out.get(), text.data(), static_cast<int>(text.size()));
    return text;
}

Certificate make(EVP_PKEY* key, const std::string& name, X509* issuer, EVP_PKEY* issuer_key, long serial) {
    Certificate certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key);
    X509_NAME* subject = X509_get_subject_name(certificate.get());
    const void* raw = name.c_str();
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, static_cast<const unsigned char*>(raw), -1, -1, 0);
    X509* signer = issuer == nullptr ? certificate.get() : issuer;
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
    if (issuer == nullptr) {
        add_extension(certificate.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        add_extension(certificate.get(), signer, NID_subject_alt_name, "IP:127.0.0.1");
    }
    if (X509_sign(certificate.get(), issuer_key, EVP_sha256()) == 0) throw std::runtime_error("sign certificate");
    return certificate;
}

Issued save(const TempDir& dir, const std::string& name, X509* certificate, EVP_PKEY* key) {
    return {dir.write(name + ".crt", pem([&](BIO* out) { PEM_write_bio_X509(out, certificate); })),
            dir.write(name + ".key",
                      pem([&](BIO* out) { PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); }),
                      0600)};
}

}  // namespace

struct TestAuthority::Keys {
    Key key{EVP_EC_gen("P-256"), EVP_PKEY_free};
    Certificate certificate{nullptr, X509_free};
    long serial = 1;
};

TestAuthority::TestAuthority(const TempDir& dir, const std::string& name) : dir_(dir), keys_(std::make_unique<Keys>()) {
    keys_->certificate = make(keys_->key.get(), name, nullptr, keys_->key.get(), keys_->serial++);
    own_ = save(dir, name, keys_->certificate.get(), keys_->key.get());
}

TestAuthority::~TestAuthority() = default;

Issued TestAuthority::issue(const std::string& common_name) {
    const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const Certificate certificate =
        make(key.get(), common_name, keys_->certificate.get(), keys_->key.get(), keys_->serial++);
    return save(dir_, common_name, certificate.get(), key.get());
}

}  // namespace baton::test
