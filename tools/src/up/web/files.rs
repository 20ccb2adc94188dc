//! A folder's files on the web site. The kernel itself keeps every path below the folder (`openat2`), links included.

use super::body::Content;
use super::page::escape;
use super::{plain, typed};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// An open folder.
pub(in crate::up) struct Folder {
    fd: OwnedFd,
}

impl Folder {
    /// Opens a folder. Errors: why it can't be offered.
    pub(in crate::up) fn open(path: &Path) -> Result<Folder, String> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let failed = |errno: Errno| {
            format!("can't offer the files of {}: {}", path.display(), crate::ui::reason(&errno.into()))
        };
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        Ok(Folder { fd })
    }

    /// Answers a request for what is below `/files`: a file or a part of it, or a list of what is there.
    pub(super) fn answer(&self, below: &str, range: Option<&HeaderValue>) -> Response<Content> {
        let Some(path) = decode(below) else {
            return plain(StatusCode::BAD_REQUEST, "a path that can't be\n");
        };
        let relative = match path.iter().position(|&byte| byte != b'/') {
            Some(start) => path.get(start..).unwrap_or_default(),
            None => b".",
        };
        let file = match self.open_below(relative) {
            Ok(file) => file,
            Err(errno) => return refusal(errno),
        };
        match file.metadata() {
            Ok(meta) if meta.is_dir() && !below.ends_with('/') => redirect(&format!("/files{below}/")),
            Ok(meta) if meta.is_dir() => self.folder(relative, below, file),
            Ok(meta) if meta.is_file() => serve(file, meta.len(), content_type(relative), range),
            // Pipes and devices may block, or worse.
            Ok(_) => refusal(Errno::ACCESS),
            Err(error) => refusal(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }

    fn open_below(&self, path: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve).map(File::from)
    }

    fn folder(&self, relative: &[u8], below: &str, folder: File) -> Response<Content> {
        let index = [relative, b"/index.html"].concat();
        if let Ok(file) = self.open_below(&index)
            && let Ok(meta) = file.metadata()
            && meta.is_file()
        {
            return serve(file, meta.len(), content_type(&index), None);
        }
        match list(folder, below) {
            Ok(html) => typed("text/html; charset=utf-8", html),
            Err(errno) => refusal(errno),
        }
    }
}

/// Answers with a file, or the part of it that is asked for.
fn serve(file: File, len: u64, kind: &'static str, range: Option<&HeaderValue>) -> Response<Content> {
    let asked = range.and_then(|range| range.to_str().ok()).and_then(|range| parse_range(range, len));
    let (start, part) = match asked {
        None => (0, len),
        Some(Ok((start, end))) => (start, end - start + 1),
        Some(Err(())) => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such part\n");
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{len}"));
            return response;
        }
    };
    let content = match Content::file(file, start, part) {
        Ok(content) => content,
        Err(error) => return refusal(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    };
    let mut response = Response::new(content);
    set(&mut response, header::CONTENT_TYPE, kind);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    // A file is shown as what it is said to be, and doesn't act in the name of the status page.
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if part < len {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {start}-{}/{len}", start + part - 1));
    }
    response
}

fn set(response: &mut Response<Content>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The first and last byte of a single range (RFC 9110 section 14.1.2); none where the header is to be ignored, as it
/// may be; an error for a part that isn't there.
fn parse_range(text: &str, len: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        if suffix == 0 || len == 0 {
            return Some(Err(()));
        }
        return Some(Ok((len.saturating_sub(suffix), len - 1)));
    }
    let first: u64 = first.parse().ok()?;
    let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    if last < first {
        return None;
    }
    Some(if first < len { Ok((first, last.min(len - 1))) } else { Err(()) })
}

/// The bytes that a path's percent signs stand for; none for what can't be a file's name.
fn decode(path: &str) -> Option<Vec<u8>> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
    }
    Some(decoded)
}

/// A name as a part of a path.
fn encode(name: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encoded = name.iter().map(|&byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// What is in a folder, as a page.
fn list(folder: File, below: &str) -> Result<String, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let name = entry.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push((entry.file_type() != rustix::fs::FileType::Directory, name));
        }
    }
    names.sort();
    let title = escape(&format!("files{below}"));
    let mut html = format!(
        "<!doctype html>\n<meta charset=utf-8>\n<title>{title}</title>\n<link rel=stylesheet href=/style.css>\n\
         <main><h1>{title}</h1>\n<ul class=files>\n<li><a href=../>..</a>\n"
    );
    for (is_file, name) in names {
        let slash = if is_file { "" } else { "/" };
        let shown = escape(&String::from_utf8_lossy(&name));
        html.push_str(&format!("<li><a href=\"./{}{slash}\">{shown}{slash}</a>\n", encode(&name)));
    }
    html.push_str("</ul></main>\n");
    Ok(html)
}

fn redirect(to: &str) -> Response<Content> {
    let mut response = plain(StatusCode::MOVED_PERMANENTLY, "");
    set(&mut response, header::LOCATION, to);
    response
}

fn refusal(errno: Errno) -> Response<Content> {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => {
            plain(StatusCode::NOT_FOUND, "there is no such file\n")
        }
        // EXDEV says that the path leads out of the folder.
        Errno::XDEV | Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::NXIO => {
            plain(StatusCode::FORBIDDEN, "that is not for you\n")
        }
        Errno::NOSYS => plain(StatusCode::NOT_IMPLEMENTED, "files need Linux 5.6 (openat2)\n"),
        errno => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{errno}\n")),
    }
}

fn content_type(path: &[u8]) -> &'static str {
    let extension = Path::new(std::ffi::OsStr::from_bytes(path)).extension();
    let extension = extension.map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" | "md" | "log" | "rs" | "toml" | "c" | "h" | "py" | "sh" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "application/xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mp3" => "audio/mpeg",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

const ENTRIES_MAX: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    fn status(folder: &Folder, below: &str) -> u16 {
        folder.answer(below, None).status().as_u16()
    }

    #[test]
    fn no_path_leads_out() {
        let parent = tempfile::tempdir().unwrap();
        let inside = parent.path().join("inside");
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::write(parent.path().join("secret"), "s").unwrap();
        std::fs::write(inside.join("sub/a b.txt"), "hello").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("out")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", inside.join("passwd")).unwrap();
        std::os::unix::fs::symlink("sub", inside.join("link")).unwrap();
        let folder = Folder::open(&inside).unwrap();
        for (below, expected) in [
            ("/", 200),
            ("/sub/a%20b.txt", 200),
            ("/link/a%20b.txt", 200),
            ("/sub/../sub/a%20b.txt", 200),
            ("", 301),
            ("/sub", 301),
            ("/nothing", 404),
            ("/../secret", 403),
            ("/..%2fsecret", 403),
            ("/%2e%2e/secret", 403),
            ("/sub/../../secret", 403),
            ("//etc/passwd", 404),
            ("/out", 403),
            ("/passwd", 403),
            ("/%00", 400),
            ("/%zz", 400),
            ("/%4", 400),
        ] {
            assert_eq!(status(&folder, below), expected, "{below}");
        }
        assert!(Folder::open(&inside.join("sub/a b.txt")).is_err());
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        assert_eq!(parse_range("bytes=0-4", 10), Some(Ok((0, 4))));
        assert_eq!(parse_range("bytes=5-", 10), Some(Ok((5, 9))));
        assert_eq!(parse_range("bytes=-3", 10), Some(Ok((7, 9))));
        assert_eq!(parse_range("bytes=-30", 10), Some(Ok((0, 9))));
        assert_eq!(parse_range("bytes=8-30", 10), Some(Ok((8, 9))));
        assert_eq!(parse_range("bytes=10-", 10), Some(Err(())));
        assert_eq!(parse_range("bytes=-0", 10), Some(Err(())));
        for ignored in ["bytes=4-1", "bytes=0-1,3-4", "lines=1-2", "bytes=x-"] {
            assert_eq!(parse_range(ignored, 10), None, "{ignored}");
        }
    }

    #[test]
    fn lists_name_what_is_there_and_nothing_else_acts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("<b>&\"x"), "").unwrap();
        let html = list(File::open(folder.path()).unwrap(), "/").unwrap();
        assert!(html.contains("&lt;b&gt;&amp;&quot;x") && html.contains("./%3Cb%3E%26%22x"), "{html}");
    }
}
