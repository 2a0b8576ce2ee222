//! H8, and guests that misbehave in every other way: others are answered meanwhile, and what is held is what the flags say.

use crate::client::{Answer, Client, ask, is_served};
use crate::{Server, guests};

/// Whether this is what a client gets that asks such a guest.
type IsRight = fn(Option<Answer>) -> bool;

/// What each guest does, by the letter that it is asked with, and what its client gets.
const GUESTS: &[(char, IsRight)] = &[
    // Computes without end, and waits without end.
    ('l', |answer| answer.is_some_and(|answer| answer.status == 504)),
    ('s', |answer| answer.is_some_and(|answer| answer.status == 504)),
    // Takes all the memory that it can have, uses it, and then waits.
    ('g', |answer| answer.is_some_and(|answer| answer.status == 504)),
    // Traps, and ends without an answer.
    ('t', |answer| answer.is_some_and(|answer| answer.status == 500)),
    ('e', |answer| answer.is_some_and(|answer| answer.status == 500)),
    // Traps, computes, waits and prints without end, each after its head.
    ('T', |answer| answer.is_none_or(|answer| !answer.is_whole)),
    ('L', |answer| answer.is_none_or(|answer| !answer.is_whole)),
    ('S', |answer| answer.is_none_or(|answer| !answer.is_whole)),
];

fn request(letter: char) -> String {
    format!("GET /?{letter} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// How much memory a server has had at the most, and has now, in bytes.
pub(crate) fn memory(server: &Server) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    };
    (of("VmHWM:"), of("VmRSS:"))
}

#[test]
fn guests_that_misbehave_are_their_own_requests_trouble() {
    const AT_A_TIME: usize = 4;
    let flags = ["--max-requests", "64", "--max-memory", "32MiB", "--max-cpu", "500ms", "--timeout", "5s"];
    let server = Server::of(&guests::by_query(), &flags);
    let mut now = Vec::new();
    for round in 0..2 {
        let mut clients = Vec::new();
        for (letter, is_right) in GUESTS {
            for _ in 0..AT_A_TIME {
                let mut client = Client::connect(server.address());
                client.send(request(*letter));
                clients.push((*letter, is_right, client));
            }
            is_served(server.address());
        }
        for (letter, is_right, mut client) in clients {
            let answer = client.answer();
            assert!(is_right(answer), "{letter} in round {round}");
            is_served(server.address());
        }
        now.push(memory(&server));
    }
    let (highest, _) = *now.last().unwrap();
    // As much as those take that take all they can, and the server.
    assert!(highest < (AT_A_TIME as u64 + 2) * (32 << 20) + (128 << 20), "{highest} bytes");
    let (first, last) = (now[0].1, now[1].1);
    assert!(last < first + first / 2 + (16 << 20), "{first} bytes, and then {last}");
}

/// Guests that print for ever what nobody takes: no more is held than the connections' buffers, and one goes when others wait.
#[test]
fn an_answer_that_nobody_takes_is_not_held() {
    let server = Server::of(&guests::by_query(), &["--max-requests", "32", "--queue-time", "1m"]);
    let _clients: Vec<Client> = (0..32)
        .map(|_| {
            let mut client = Client::connect(server.address());
            client.send(request('w'));
            client.wait_for("\r\n\r\n");
            client
        })
        .collect();
    is_served(server.address());
    let (highest, _) = memory(&server);
    assert!(highest < 256 << 20, "{highest} bytes");
    let cut = server
        .log()
        .into_iter()
        .find(|line| line["note"].as_str().is_some_and(|note| note.contains("others wait")));
    assert_eq!(cut.unwrap()["incomplete"], true);
}

/// H2 and H3: requests whose clients are slow have as many places as nobody else needs.
#[test]
fn clients_that_are_slow_keep_nobody_waiting() {
    const OPEN: &str = "POST /?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    let server =
        Server::of(&guests::by_query(), &["--max-requests", "4", "--max-queue", "1", "--queue-time", "1m"]);
    let mut slow: Vec<Client> = (0..4)
        .map(|_| {
            let mut client = Client::connect(server.address());
            client.send(OPEN);
            client.wait_for("\r\n\r\n");
            client
        })
        .collect();
    // Those whose bodies do not come, of which one has to go.
    is_served(server.address());
    let is_whole = |client: &mut Client| {
        client.send("1\r\ny\r\n0\r\n\r\n");
        client.answer().is_some_and(|answer| answer.is_whole)
    };
    assert_eq!(slow.iter_mut().map(is_whole).filter(|is_whole| *is_whole).count(), 3);
}

/// What it answers to others stays as it was.
#[test]
fn what_one_request_leaves_no_other_finds() {
    let server = Server::of(&guests::by_query(), &[]);
    for _ in 0..20 {
        let answer = ask(server.address(), request('m'));
        assert_eq!((answer.status, &*answer.body), (200, &b"0"[..]));
    }
}
