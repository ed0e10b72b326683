//! What an exploit, a benign input and Crisol have to say to each other. Crisol writes one line of JSON to standard
//! input: {"token": secret of this run, "size": n, "hostile": true|false, "payload": any value}. It is read before the
//! target is used.
//!
//! ```text
//! use work::trial;
//! fn main() { trial::exploit(|t| { let _ = t.attack(|| target(payload)); effect }) }  // exit 0 when effect is true
//! fn main() { trial::benign(|t| assert_eq!(target(input), output)) }                  // exit 0 when nothing panicked
//! fn main() { trial::slow(|t| { let _ = t.attack(|| ...); }) }                        // judged by CPU time
//! ```
use std::io::{self, Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process;

/// One run: its input size, whether it is to be hostile, and the payload of a derived variant where that is text.
pub struct Trial {
    pub size: usize,
    pub hostile: bool,
    pub payload: Option<String>,
    token: String,
    reached: bool,
}

impl Trial {
    /// Makes the call under attack. A panic is returned as its message: a fix may well refuse by panicking.
    pub fn attack<R>(&mut self, call: impl FnOnce() -> R) -> Result<R, String> {
        self.reached = true;
        panic::catch_unwind(AssertUnwindSafe(call)).map_err(|cause| {
            match cause.downcast::<String>() {
                Ok(message) => *message,
                Err(cause) => cause
                    .downcast_ref::<&str>()
                    .unwrap_or(&"a panic")
                    .to_string(),
            }
        })
    }

    fn say(&self, word: &str) {
        print!("\ncrisol {word} {}\n", self.token);
    }
}

/// Runs an attack, which succeeded when body returns true.
pub fn exploit(body: impl FnOnce(&mut Trial) -> bool) -> ! {
    run(body, |t, effect| {
        if t.reached {
            t.say("reached");
        }
        if effect {
            0
        } else {
            1
        }
    })
}

/// Runs a benign input, which is healthy when body returns.
pub fn benign(body: impl FnOnce(&mut Trial)) -> ! {
    run(body, |t, ()| {
        t.say("healthy");
        0
    })
}

/// Runs body for its CPU time.
pub fn slow(body: impl FnOnce(&mut Trial)) -> ! {
    run(body, |t, ()| {
        if t.reached {
            t.say("reached");
        }
        0
    })
}

/// A panic outside of an attack is the script's own trouble.
fn run<R>(body: impl FnOnce(&mut Trial) -> R, judge: impl FnOnce(&Trial, R) -> i32) -> ! {
    let mut t = begin();
    let code = match panic::catch_unwind(AssertUnwindSafe(|| body(&mut t))) {
        Ok(result) => judge(&t, result),
        Err(_) => 3, // the panic's hook has written what happened
    };
    let _ = io::stdout().flush();
    process::exit(code)
}

fn begin() -> Trial {
    let mut text = String::new();
    let _ = io::stdin().read_to_string(&mut text);
    let mut t = Trial {
        size: 0,
        hostile: true,
        payload: None,
        token: String::new(),
        reached: false,
    };
    let Some(Json::Object(order)) = Reader { rest: &text }.value() else {
        return t;
    };
    for (name, value) in order {
        match (name.as_str(), value) {
            ("token", Json::Text(token)) => t.token = token,
            ("size", Json::Number(size)) => t.size = size as usize,
            ("hostile", Json::Bool(hostile)) => t.hostile = hostile,
            ("payload", Json::Text(payload)) => t.payload = Some(payload),
            _ => {}
        }
    }
    t
}

/// As much of a JSON value as an order is read for.
enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array,
    Object(Vec<(String, Json)>),
}

/// Reads JSON (RFC 8259) from the front of rest; None where it is malformed.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<Json> {
        self.blank();
        match self.rest.chars().next()? {
            '{' => self.object(),
            '[' => self.array(),
            '"' => self.text().map(Json::Text),
            't' => self.take("true").then_some(Json::Bool(true)),
            'f' => self.take("false").then_some(Json::Bool(false)),
            'n' => self.take("null").then_some(Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self) -> Option<Json> {
        let mut members = Vec::new();
        if self.open("{", "}") {
            return Some(Json::Object(members));
        }
        loop {
            self.blank();
            let name = self.text()?;
            self.blank();
            if !self.take(":") {
                return None;
            }
            members.push((name, self.value()?));
            if self.close("}")? {
                return Some(Json::Object(members));
            }
        }
    }

    fn array(&mut self) -> Option<Json> {
        if self.open("[", "]") {
            return Some(Json::Array);
        }
        loop {
            self.value()?;
            if self.close("]")? {
                return Some(Json::Array);
            }
        }
    }

    /// Takes the opening mark; says whether the closing one follows at once.
    fn open(&mut self, mark: &str, end: &str) -> bool {
        self.take(mark);
        self.blank();
        self.take(end)
    }

    /// Says whether the closing mark comes, or a comma and more.
    fn close(&mut self, end: &str) -> Option<bool> {
        self.blank();
        let ended = self.take(end);
        (ended || self.take(",")).then_some(ended)
    }

    fn number(&mut self) -> Option<Json> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c))
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits.parse().ok().map(Json::Number)
    }

    fn text(&mut self) -> Option<String> {
        if !self.take("\"") {
            return None;
        }
        // UTF-16, since an escape may hold half a character.
        let mut units = Vec::new();
        loop {
            match self.next()? {
                '"' => return Some(String::from_utf16_lossy(&units)),
                '\\' => units.push(self.escape()?),
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        Some(match self.next()? {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = self.rest.get(..4)?;
                self.rest = &self.rest[4..];
                u16::from_str_radix(digits, 16).ok()?
            }
            c @ ('"' | '\\' | '/') => c as u16,
            _ => return None,
        })
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn take(&mut self, mark: &str) -> bool {
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}
