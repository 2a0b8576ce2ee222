//! H4, and all else that a client can send with HTTP/1.1: the rows of `docs/http1.md`, as they stand there.

use crate::client::Client;
use crate::{Server, guests};

const PAGE: &str = include_str!("../../../../docs/http1.md");

/// What follows the bytes of most rows.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A row of the page.
#[derive(Debug)]
struct Row {
    written: &'static str,
    bytes: Vec<u8>,
    then: Then,
    answers: &'static str,
    is_next_answered: bool,
}

/// What follows the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Another,
    Nothing,
    End,
}

#[test]
fn every_row_is_answered_as_the_page_says() {
    let rows: Vec<Row> = PAGE.lines().filter_map(row).collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    let patient = Server::of(&guests::reader(), &["--max-body", "1000"]);
    let impatient = Server::of(&guests::reader(), &["--header-time", "200ms", "--body-time", "200ms"]);
    let mut wrong = String::new();
    for row in &rows {
        let server = if row.then == Then::Nothing { &impatient } else { &patient };
        let mut client = Client::connect(server.address());
        client.send(&row.bytes);
        match row.then {
            Then::Another => client.send(NEXT),
            Then::Nothing => {}
            Then::End => client.finish(),
        }
        let text = String::from_utf8_lossy(&client.rest()).into_owned();
        let mut found: Vec<&str> = text.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect();
        let wanted: Vec<&str> = row.answers.split(' ').filter(|answer| *answer != "-").collect();
        let is_next_answered = found.len() > wanted.len() && found.pop() == Some("200");
        if found != wanted || is_next_answered != row.is_next_answered {
            wrong += &format!("{} is answered by {found:?}, next: {is_next_answered}\n", row.written);
        }
    }
    assert_eq!(wrong, "");
    let hidden = patient.log().into_iter().filter(|line| line["target"] == "/next").count();
    assert_eq!(hidden, rows.iter().filter(|row| row.is_next_answered).count());
}

/// A row of a table whose first cell is code.
fn row(line: &'static str) -> Option<Row> {
    let (written, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    let mut cells = rest.split(" | ");
    let (answers, next) = (cells.next()?, cells.next()?);
    assert!(matches!(next, "yes" | "no"), "{line}");
    let (text, then) = match (written.strip_suffix('…'), written.strip_suffix('⊣')) {
        (Some(text), _) => (text, Then::Nothing),
        (None, Some(text)) => (text, Then::End),
        (None, None) => (written, Then::Another),
    };
    Some(Row { written, bytes: bytes(text), then, answers, is_next_answered: next == "yes" })
}

/// The bytes that a text of the page stands for.
fn bytes(text: &str) -> Vec<u8> {
    let Some((before, rest)) = text.split_once('{') else { return unescaped(text) };
    let (repeated, after) = rest.split_once('}').expect("a closing brace");
    let (unit, count) = repeated.rsplit_once('*').expect("an asterisk");
    [unescaped(before), unescaped(unit).repeat(count.parse().unwrap()), bytes(after)].concat()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().expect("something escaped") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("\\{} means nothing", char::from(other)),
            },
            byte => byte,
        });
    }
    bytes
}
