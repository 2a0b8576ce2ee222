//! A site: a tree of pages and files, with an index that says what each of them is.
//! The same source gives the same bytes: names are sorted, and nothing holds a time.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde_json::{Value, json};

use crate::markdown::Page;
use crate::search::WordIndex;

const INDEX: &str = "index.json";
const WORDS: &str = "search.json.gz";
const SETTINGS: &str = "site.json";

/// Builds the site of `source` in `target`, which is made where it is missing.
pub(crate) fn build(source: &Path, target: &Path) -> Result<(), String> {
    let title = site_title(source)?;
    let mut words = WordIndex::new()?;
    let mut entries = Vec::new();
    let files = files_under(source)?;
    for file in &files {
        if file == Path::new(SETTINGS) {
            continue;
        }
        let bytes = read(&source.join(file))?;
        let entry = if file.extension().is_some_and(|extension| extension == "md") {
            build_page(&title, file, bytes, target, entries.len(), &mut words)?
        } else {
            write(&target.join(file), &bytes)?;
            json!({ "path": name(file), "kind": "file", "bytes": bytes.len(), "crc32": crc32(&bytes) })
        };
        println!(
            "{:>8} {}",
            entry["bytes"],
            entry["path"].as_str().unwrap_or_default()
        );
        entries.push(entry);
    }

    let word_list = words.to_json().to_string();
    let packed = gzip(word_list.as_bytes())?;
    write(&target.join(WORDS), &packed)?;
    let count = entries.len();
    let index = json!({
        "title": title,
        "entries": entries,
        "search": { "path": WORDS, "words": words.len(), "bytes": word_list.len(), "crc32": crc32(word_list.as_bytes()) },
    });
    write(&target.join(INDEX), format!("{index:#}\n").as_bytes())?;
    println!(
        "{count} files, {} words, {} bytes packed to {}",
        words.len(),
        word_list.len(),
        packed.len()
    );
    Ok(())
}

/// Checks every file of a built site against its index.
pub(crate) fn verify(target: &Path) -> Result<(), String> {
    let index: Value = serde_json::from_slice(&read(&target.join(INDEX))?)
        .map_err(|error| format!("{} is not an index: {error}", target.join(INDEX).display()))?;
    let mut checked = 0;
    for entry in index["entries"].as_array().into_iter().flatten() {
        let path = entry["path"]
            .as_str()
            .ok_or("an entry of the index has no path")?;
        check(path, entry, &read(&target.join(path))?)?;
        checked += 1;
    }
    let packed = read(&target.join(WORDS))?;
    let mut words = Vec::new();
    GzDecoder::new(&packed[..])
        .read_to_end(&mut words)
        .map_err(|error| format!("cannot unpack {WORDS}: {error}"))?;
    check(WORDS, &index["search"], &words)?;
    println!("{} verified", checked + 1);
    Ok(())
}

/// `SITE_TITLE` from the environment, else the `title` of the settings, else a plain word.
fn site_title(source: &Path) -> Result<String, String> {
    if let Ok(title) = std::env::var("SITE_TITLE") {
        return Ok(title);
    }
    let path = source.join(SETTINGS);
    if !path.exists() {
        return Ok("Site".to_owned());
    }
    let settings: Value = serde_json::from_slice(&read(&path)?)
        .map_err(|error| format!("{} is not JSON: {error}", path.display()))?;
    settings["title"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{} has no title", path.display()))
}

fn build_page(
    site: &str,
    file: &Path,
    bytes: Vec<u8>,
    target: &Path,
    number: usize,
    words: &mut WordIndex,
) -> Result<Value, String> {
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("{} is not UTF-8: {error}", file.display()))?;
    let page = Page::parse(&text);
    let file = file.with_extension("html");
    let title = page.title().unwrap_or(site);
    let html = format!(
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>{} - {}</title>\n{}",
        escaped(title),
        escaped(site),
        page.html
    );
    write(&target.join(&file), html.as_bytes())?;
    Ok(json!({
        "path": name(&file),
        "kind": "page",
        "bytes": html.len(),
        "crc32": crc32(html.as_bytes()),
        "title": title,
        "headings": page.headings,
        "words": words.add(number, &page.text),
    }))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The files below a directory, relative to it, sorted.
fn files_under(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let path = root.join(&directory);
        let failed = |error: std::io::Error| format!("cannot list {}: {error}", path.display());
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let relative = directory.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() {
                directories.push(relative);
            } else {
                files.push(relative);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn check(path: &str, entry: &Value, bytes: &[u8]) -> Result<(), String> {
    if entry["bytes"] == bytes.len() && entry["crc32"] == crc32(bytes) {
        return Ok(());
    }
    Err(format!("{path} differs from the index"))
}

fn crc32(bytes: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(bytes))
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .map_err(|error| format!("cannot pack: {error}"))
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
