// SPDX-License-Identifier: MIT
// A ZIP archive on its way, made by Poco.
#include "agent/http/jenkins/archive.h"

#include <Poco/DateTime.h>
#include <Poco/Exception.h>
#include <Poco/Zip/Compress.h>
#include <fstream>
#include <ostream>
#include <streambuf>
#include <sys/stat.h>

#include "common/log.h"

namespace baton::http {

namespace {

constexpr std::size_t piece_bytes = 64UL * 1024;

/// Gathers what Poco writes into pieces for the client.
class Outlet final : public std::streambuf {
  public:
    explicit Outlet(Writer& writer) : writer_(writer), piece_(piece_bytes, '\0') { rewind(); }
    /// False once the client is gone.
    [[nodiscard]] bool send() {
        const auto size = static_cast<std::size_t>(pptr() - pbase());
        good_ = good_ && (size == 0 || writer_.write(std::string_view(piece_).substr(0, size)));
        rewind();
        return good_;
    }

  protected:
    int_type overflow(int_type c) override {
        if (!send()) return traits_type::eof();
        if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
        return sputc(traits_type::to_char_type(c));
    }

  private:
    void rewind() { setp(piece_.data(), piece_.data() + piece_.size()); }

    Writer& writer_;
    std::string piece_;
    bool good_ = true;
};

Poco::DateTime changed_at(const std::filesystem::path& file) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) return {};
    return Poco::DateTime(Poco::Timestamp::fromEpochTime(info.st_mtime));
}

}  // namespace

bool write_zip(Writer& writer, const std::vector<ArchiveEntry>& entries) {
    Outlet outlet(writer);
    std::ostream out(&outlet);
    try {
        // Not seekable: sizes follow each file. What was built is mostly compressed, or wanted soon.
        Poco::Zip::Compress archive(out, false);
        for (const auto& entry : entries) {
            std::ifstream file(entry.file, std::ios::binary);
            if (!file || !out || !writer.open()) return false;
            archive.addFile(file, changed_at(entry.file), Poco::Path(entry.name, Poco::Path::PATH_UNIX),
                            Poco::Zip::ZipCommon::CM_DEFLATE, Poco::Zip::ZipCommon::CL_SUPERFAST);
            if (file.bad()) return false;
        }
        archive.close();
    } catch (const Poco::Exception& error) {
        // A client that hung up is the usual reason, and none to tell of.
        if (out) log::warning("http", "an archive could not be made", {{"reason", error.displayText()}});
        return false;
    }
    return out.good() && outlet.send();
}

}  // namespace baton::http
