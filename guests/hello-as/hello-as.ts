// Greets on stdout and writes the same greeting to a file, /helloworld/helloworld.txt or the path in the
// first argument. hello-c and hello-rust do the same, byte for byte, through their own libraries.
// The standard library of AssemblyScript has no files, so this guest finds its directory among the preopens
// and calls path_open itself.

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_prestat_get")
declare function fd_prestat_get(fd: u32, prestat: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_prestat_dir_name")
declare function fd_prestat_dir_name(fd: u32, name: usize, length: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "path_open")
declare function path_open(
  dir: u32, dirflags: u32, path: usize, path_length: usize, oflags: u16,
  rights: u64, rights_inheriting: u64, fdflags: u16, opened: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, iovs: usize, iovs_length: usize, written: usize): u16;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_close")
declare function fd_close(fd: u32): u16;

const GREETING = "Hello, World!\n";

const FIRST_PREOPEN: u32 = 3;
const SYMLINK_FOLLOW: u32 = 1;
const OFLAGS_CREAT_TRUNC: u16 = 1 | 8;
const RIGHT_FD_WRITE: u64 = 1 << 6;

const ERRNO_SUCCESS: u16 = 0;
const ERRNO_IO: u16 = 29;
const ERRNO_NOENT: u16 = 44;

// Room for the results of one host call: two words.
const results = memory.data(8, 8);

/// The file's fd, or minus the errno.
function openForWriting(path: string): i32 {
  const wanted = normalize(path);
  let found = -1;
  let foundLength = -1;
  for (let fd = FIRST_PREOPEN; fd_prestat_get(fd, results) == ERRNO_SUCCESS; fd++) {
    const length = load<u32>(results, 4);
    const name = new ArrayBuffer(length);
    if (fd_prestat_dir_name(fd, changetype<usize>(name), length) != ERRNO_SUCCESS) continue;
    const preopen = normalize(String.UTF8.decode(name, true));
    const covers = preopen.length == 0 || wanted == preopen || wanted.startsWith(preopen + "/");
    if (covers && preopen.length > foundLength) {
      found = fd;
      foundLength = preopen.length;
    }
  }
  if (found < 0) return -(<i32>ERRNO_NOENT);

  const rest = foundLength == 0 ? wanted : wanted.substring(foundLength + 1);
  const relative = String.UTF8.encode(rest.length == 0 ? "." : rest);
  const errno = path_open(
    found, SYMLINK_FOLLOW, changetype<usize>(relative), relative.byteLength, OFLAGS_CREAT_TRUNC,
    RIGHT_FD_WRITE, 0, 0, results);
  return errno == ERRNO_SUCCESS ? <i32>load<u32>(results) : -(<i32>errno);
}

/// The path without what stands for "the root" or "here" at its start: "/a", "./a" and "a" are one.
function normalize(path: string): string {
  let start = 0;
  while (true) {
    const rest = path.substring(start);
    if (rest.startsWith("/")) start += 1;
    else if (rest.startsWith("./")) start += 2;
    else if (rest == ".") start += 1;
    else break;
  }
  let end = path.length;
  while (end > start && path.charCodeAt(end - 1) == 0x2f) end -= 1;
  return path.substring(start, end);
}

/// Writes all of the text: zero, or the errno.
function writeAll(fd: u32, text: string): u16 {
  const bytes = String.UTF8.encode(text);
  const iovec = new ArrayBuffer(8);
  let done: u32 = 0;
  while (done < <u32>bytes.byteLength) {
    store<u32>(changetype<usize>(iovec), changetype<usize>(bytes) + done);
    store<u32>(changetype<usize>(iovec), bytes.byteLength - done, 4);
    const errno = fd_write(fd, changetype<usize>(iovec), 1, results);
    if (errno != ERRNO_SUCCESS) return errno;
    const written = load<u32>(results);
    if (written == 0) return ERRNO_IO;
    done += written;
  }
  return ERRNO_SUCCESS;
}

/// The text that a C library gives for the errnos that opening and writing can meet.
function errnoText(errno: u16): string {
  switch (errno) {
    case 2: return "Permission denied";
    case 8: return "Bad file descriptor";
    case 28: return "Invalid argument";
    case 29: return "I/O error";
    case 31: return "Is a directory";
    case 32: return "Symbolic link loop";
    case 37: return "Filename too long";
    case 44: return "No such file or directory";
    case 51: return "No space left on device";
    case 54: return "Not a directory";
    case 63: return "Operation not permitted";
    case 69: return "Read-only file system";
    case 76: return "Capabilities insufficient";
    default: return "errno " + errno.toString();
  }
}

function fail(what: string, errno: u16): void {
  writeAll(2, "hello: cannot write " + what + ": " + errnoText(errno) + "\n");
  process.exit(1);
}

const path = process.argv.length > 1 ? process.argv[1] : "/helloworld/helloworld.txt";
let errno = writeAll(1, GREETING);
if (errno != ERRNO_SUCCESS) fail("to stdout", errno);
const file = openForWriting(path);
if (file < 0) fail(path, <u16>-file);
errno = writeAll(file, GREETING);
if (errno == ERRNO_SUCCESS) errno = fd_close(file);
if (errno != ERRNO_SUCCESS) fail(path, errno);
