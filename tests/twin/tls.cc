#include "twin/tls.h"

#include <memory>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/check.h"

namespace cairn::twin {
namespace {

constexpr long kDaySeconds = 24 * 3600;

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* what) const {
    Free(what);
  }
};
using Key = std::unique_ptr<EVP_PKEY, FreeWith<::EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, FreeWith<::X509_free>>;
using Memory = std::unique_ptr<BIO, FreeWith<::BIO_free>>;

void add_extension(X509* certificate, int kind, const char* value) {
  X509V3_CTX context;
  ::X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = ::X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  CAIRN_CHECK(extension != nullptr && ::X509_add_ext(certificate, extension, -1) == 1);
  ::X509_EXTENSION_free(extension);
}

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long length = ::BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(length)};
}

}  // namespace

SelfSigned make_certificate(Tls kind) {
  const Key key(::EVP_EC_gen("P-256"));
  const Certificate certificate(::X509_new());
  CAIRN_CHECK(key && certificate);
  X509* const x = certificate.get();
  ::X509_set_version(x, 2);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(x), 1);
  const bool is_expired = kind == Tls::expired;
  ::X509_gmtime_adj(::X509_getm_notBefore(x), -30 * kDaySeconds);
  ::X509_gmtime_adj(::X509_getm_notAfter(x), is_expired ? -kDaySeconds : 30 * kDaySeconds);
  ::X509_set_pubkey(x, key.get());
  const bool is_wrong = kind == Tls::wrong_name;
  const std::string name = is_wrong ? "elsewhere.invalid" : "localhost";
  ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  ::X509_set_issuer_name(x, ::X509_get_subject_name(x));
  add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(x, NID_subject_key_identifier, "hash");
  add_extension(x, NID_subject_alt_name,
                is_wrong ? "DNS:elsewhere.invalid" : "DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1");
  CAIRN_CHECK(::X509_sign(x, key.get(), ::EVP_sha256()) > 0);

  const Memory certificate_text(::BIO_new(::BIO_s_mem())), key_text(::BIO_new(::BIO_s_mem()));
  CAIRN_CHECK(::PEM_write_bio_X509(certificate_text.get(), x) == 1);
  CAIRN_CHECK(::PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return {text_of(certificate_text.get()), text_of(key_text.get())};
}

}  // namespace cairn::twin
