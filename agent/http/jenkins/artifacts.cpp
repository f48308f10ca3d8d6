// SPDX-License-Identifier: MIT
// Jenkins' remote access API: the files that a build has kept, one by one, as a list and as an archive.
#include <Poco/DateTimeFormat.h>
#include <Poco/DateTimeFormatter.h>
#include <Poco/Timestamp.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <set>

#include "agent/http/jenkins/archive.h"
#include "agent/http/jenkins/jenkins.h"
#include "agent/http/jenkins/response.h"
#include "common/error.h"
#include "common/file.h"
#include "common/net/form.h"
#include "common/text.h"

namespace baton::http {

namespace {

constexpr std::size_t piece_bytes = 256UL * 1024;

std::string_view type_of(std::string_view name) {
    struct Type {
        std::string_view ending, type;
    };
    constexpr std::array<Type, 14> types{{{".txt", "text/plain;charset=UTF-8"},
                                          {".log", "text/plain;charset=UTF-8"},
                                          {".md", "text/plain;charset=UTF-8"},
                                          {".csv", "text/csv;charset=UTF-8"},
                                          {".html", "text/html;charset=UTF-8"},
                                          {".css", "text/css;charset=UTF-8"},
                                          {".json", "application/json;charset=UTF-8"},
                                          {".xml", "application/xml"},
                                          {".svg", "image/svg+xml"},
                                          {".png", "image/png"},
                                          {".jpg", "image/jpeg"},
                                          {".pdf", "application/pdf"},
                                          {".gz", "application/gzip"},
                                          {".zip", "application/zip"}}};
    for (const Type& one : types) {
        if (name.ends_with(one.ending)) return one.type;
    }
    return "application/octet-stream";
}

/// Sends an open file piece by piece.
StreamFunction file_stream(std::shared_ptr<Fd> file) {
    return [file = std::move(file)](Writer& writer) {
        std::string piece(piece_bytes, '\0');
        while (true) {
            const ssize_t got = ::read(file->get(), piece.data(), piece.size());
            if (got == 0) return true;
            if (got < 0) return false;
            if (!writer.write(std::string_view(piece).substr(0, static_cast<std::size_t>(got)))) return false;
        }
    };
}

/// What a path below `artifact/` asks for.
struct Wanted {
    enum class As { itself, plain_list, archive };
    std::string path;  ///< of the file or folder; empty: all that there is
    As as = As::itself;
};

Wanted wanted(std::span<const std::string> relative) {
    Wanted what;
    for (const std::string& segment : relative) {
        const bool harmful = segment == "." || segment == ".." ||
                             segment.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos;
        if (harmful) throw Error(ErrorKind::invalid, "a file's path may not hold this");
        // The rest of the path is the name that the client gives the answer.
        if (segment == "*zip*") return {what.path, Wanted::As::archive};
        if (segment == "*plain*") return {what.path, Wanted::As::plain_list};
        what.path += (what.path.empty() ? "" : "/") + segment;
    }
    return what;
}

/// Those of a folder: relative to it.
std::vector<std::string> files_below(const std::string& folder, const std::vector<std::string>& files) {
    const std::string prefix = folder.empty() ? "" : folder + "/";
    std::vector<std::string> below;
    for (const auto& file : files) {
        if (file.starts_with(prefix)) below.push_back(file.substr(prefix.size()));
    }
    return below;
}

/// The files and folders right below, folders with a slash.
std::set<std::string> children(const std::vector<std::string>& below) {
    std::set<std::string> names;
    for (const auto& file : below) {
        const auto slash = file.find('/');
        names.insert(slash == std::string::npos ? file : file.substr(0, slash + 1));
    }
    return names;
}

Response index_page(const std::string& title, const std::set<std::string>& names) {
    std::string items;
    for (const auto& name : names) {
        const bool folder = name.ends_with('/');
        const auto link = net::percent_encode(folder ? name.substr(0, name.size() - 1) : name) + (folder ? "/" : "");
        items += fmt::format("<li><a href=\"{}\">{}</a></li>", link, escape_html(name));
    }
    return Response::html(
        fmt::format("<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><ul>{1}</ul>"
                    "<p><a href=\"*zip*/archive.zip\">all files in zip</a></p></body></html>",
                    escape_html(title), items));
}

}  // namespace

Response Jenkins::artifact(const operations::BuildView& build, const Request& request, Path relative) {
    const Wanted what = wanted(relative);
    const bool file = std::ranges::find(build.artifacts, what.path) != build.artifacts.end();
    if (file && what.as == Wanted::As::itself) return kept_file(build, what.path);
    const auto below = files_below(what.path, build.artifacts);
    if (below.empty()) throw Error(ErrorKind::not_found, fmt::format("build {} kept nothing there", build.number));
    switch (what.as) {
        case Wanted::As::archive: return kept_archive(build, what.path, below);
        case Wanted::As::plain_list: {
            const auto names = children(below);
            return Response::text(join(std::vector(names.begin(), names.end()), "\n") + "\n");
        }
        case Wanted::As::itself: break;
    }
    // The links of the page are relative to the folder.
    const std::string path = request.target.substr(0, request.target.find('?'));
    if (!path.ends_with('/')) return redirect_to(request, path + "/");
    return index_page(fmt::format("{} #{}: {}", build.app, build.number, what.path.empty() ? "artifacts" : what.path),
                      children(below));
}

Response Jenkins::kept_archive(const operations::BuildView& build, const std::string& folder,
                               const std::vector<std::string>& below) {
    // As in Jenkins all lies in one folder, named as the one that was asked for.
    const std::string top = folder.empty() ? "archive" : folder.substr(folder.rfind('/') + 1);
    std::vector<ArchiveEntry> entries;
    for (const auto& name : below) {
        const std::string path = folder.empty() ? name : folder + "/" + name;
        entries.push_back({top + "/" + name, operations_.artifact_path(build.app, build.number, path)});
    }
    return Response::streamed("application/zip",
                              [entries = std::move(entries)](Writer& writer) { return write_zip(writer, entries); });
}

Response Jenkins::kept_file(const operations::BuildView& build, const std::string& path) {
    const std::string file = operations_.artifact_path(build.app, build.number, path);
    auto fd = std::make_shared<Fd>(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!*fd) throw system_error(fmt::format("open the kept file {}", path), errno);
    struct stat info {};
    if (::fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode))
        throw Error(ErrorKind::not_found, "there is nothing of this name");
    const std::string type(type_of(path));
    Response response = static_cast<std::size_t>(info.st_size) <= piece_bytes
                            ? Response::content(type, read_file(file, piece_bytes))
                            : Response::streamed(type, file_stream(std::move(fd)));
    response.headers.set("Last-Modified", Poco::DateTimeFormatter::format(Poco::Timestamp::fromEpochTime(info.st_mtime),
                                                                          Poco::DateTimeFormat::HTTP_FORMAT));
    // What a build made is nobody's word: it must not act in a browser that shows it.
    response.headers.set("Content-Security-Policy", "sandbox; default-src 'none'; img-src 'self'; style-src 'self'");
    return response;
}

}  // namespace baton::http
