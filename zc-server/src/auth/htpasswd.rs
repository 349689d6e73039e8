//! Files of users and hashes of their passwords, as `htpasswd -B` of Apache writes them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::basic::Credentials;
use super::bcrypt::{COSTS, Hash, HashError};
use super::{User, Verdict};
use crate::text::OneLine;

/// The cost that `htpasswd -B` has where it is not told another one.
const COST_DEFAULT: u8 = 5;
/// What begins a hash of bcrypt. They differ in what older programs did wrong.
const PREFIXES: [&str; 3] = ["$2y$", "$2b$", "$2a$"];
/// Other kinds of hashes, each by what it begins with.
const OTHERS: [(&str, &str); 11] = [
    ("$argon2", "argon2"),
    ("$apr1$", "MD5"),
    ("$1$", "MD5"),
    ("{SHA}", "SHA-1"),
    ("{SSHA}", "SHA-1"),
    ("$5$", "SHA-256 of crypt"),
    ("$6$", "SHA-512 of crypt"),
    ("$y$", "yescrypt"),
    ("$7$", "scrypt"),
    ("$2x$", "bcrypt as a faulty program made it"),
    ("$", "of an unknown kind"),
];

/// The users of a file.
#[derive(Debug)]
pub(super) struct Users {
    users: HashMap<User, Hash>,
    /// What the password of an unknown user is checked against, so that it takes as long.
    nobody: Hash,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineFault {
    line: usize,
    fault: Fault,
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    NotUtf8,
    NoColon,
    NoUser,
    /// The name of the user has a control character.
    Control,
    Repeated {
        user: String,
        first: usize,
    },
    Kind {
        user: String,
        kind: &'static str,
    },
    Hash {
        user: String,
        error: HashError,
    },
}

/// Why a file of users cannot be used. Displayed in one line that says what to change.
#[derive(Debug)]
pub(crate) enum FileError {
    Unreadable { path: PathBuf, error: io::Error },
    Line { path: PathBuf, fault: LineFault },
}

impl FileError {
    pub(super) fn unreadable(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::Unreadable { path, error }
    }

    pub(super) fn of(path: &Path, fault: LineFault) -> Self {
        let path = path.to_owned();
        Self::Line { path, fault }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(
                f,
                "--auth-file: cannot read `{}`: {error}; make it with htpasswd -B -c, or name another file",
                OneLine(path)
            ),
            Self::Line { path, fault } => {
                write!(f, "--auth-file: {}:{}: ", OneLine(path), fault.line)?;
                fault.fault.fmt(f)
            }
        }
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Line { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one_line = |user: &String| OneLine(user.as_ref()).to_string();
        match self {
            Self::NotUtf8 => f.write_str("the line is not UTF-8; save the file as UTF-8"),
            // What stands there may be a password.
            Self::NoColon => {
                f.write_str("no `:` between user and hash; add the user with htpasswd -B")
            }
            Self::NoUser => {
                f.write_str("no user in front of the `:`; add the user with htpasswd -B")
            }
            Self::Control => {
                f.write_str("the name of the user has a control character; choose another name")
            }
            Self::Repeated { user, first } => write!(
                f,
                "the user `{}` is on line {first} already; remove one",
                one_line(user)
            ),
            Self::Kind { user, kind } => write!(
                f,
                "the password of `{}` is {kind}, and only bcrypt is read; set it again with htpasswd -B",
                one_line(user)
            ),
            Self::Hash {
                user,
                error: HashError::Malformed,
            } => write!(
                f,
                "the hash of `{}` is no whole hash of bcrypt; set the password again with htpasswd -B",
                one_line(user)
            ),
            Self::Hash {
                user,
                error: HashError::Cost(cost),
            } => write!(
                f,
                "the hash of `{}` has the cost {cost}, which must be {} to {}; set the password again with \
                 htpasswd -B -C 10",
                one_line(user),
                COSTS.start(),
                COSTS.end()
            ),
        }
    }
}

impl Users {
    /// Reads lines such as `user:$2y$10$…`. Empty ones, and those that begin with `#`, say nothing.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LineFault> {
        let mut users = HashMap::new();
        let mut lines = HashMap::new();
        for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            let fault = |fault| LineFault { line, fault };
            let text = str::from_utf8(text).map_err(|_| fault(Fault::NotUtf8))?;
            let text = text.trim_matches([' ', '\t', '\r']);
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (user, hash) = entry(text).map_err(fault)?;
            match lines.entry(user) {
                Entry::Occupied(first) => {
                    let (user, first) = (user.to_owned(), *first.get());
                    return Err(fault(Fault::Repeated { user, first }));
                }
                Entry::Vacant(place) => place.insert(line),
            };
            users.insert(User::from(user), hash);
        }
        let costs = users.values().map(|hash| hash.cost);
        let nobody = Hash::of_nobody(costs.max().unwrap_or(COST_DEFAULT));
        Ok(Self { users, nobody })
    }

    /// Whether somebody has this name and this password. Both kinds of mistake take the same time.
    pub(super) fn check(&self, credentials: &Credentials) -> Verdict {
        let name = str::from_utf8(credentials.user()).ok();
        let known = name.and_then(|name| self.users.get_key_value(name));
        let hash = known.map_or(&self.nobody, |(_, hash)| hash);
        match (hash.is_of(credentials.password()), known) {
            (true, Some((user, _))) => Verdict::Granted(User::clone(user)),
            _ => {
                // A name whose hash costs less would tell by its time that it is there.
                if hash.cost < self.nobody.cost {
                    self.nobody.is_of(credentials.password());
                }
                Verdict::Denied
            }
        }
    }
}

fn entry(text: &str) -> Result<(&str, Hash), Fault> {
    let (user, hash) = text.split_once(':').ok_or(Fault::NoColon)?;
    if user.is_empty() {
        return Err(Fault::NoUser);
    }
    if user.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    let owned = || user.to_owned();
    let Some(rest) = PREFIXES.iter().find_map(|prefix| hash.strip_prefix(prefix)) else {
        let mut others = OTHERS.iter();
        let other = others.find(|(prefix, _)| hash.starts_with(prefix));
        let kind = other.map_or("plain text, or DES of crypt", |(_, kind)| kind);
        return Err(Fault::Kind {
            user: owned(),
            kind,
        });
    };
    match Hash::parse(rest) {
        Ok(hash) => Ok((user, hash)),
        Err(error) => Err(Fault::Hash {
            user: owned(),
            error,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The password is empty.
    const EMPTY: &str = "$2y$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
    const A: &str = "$2b$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";

    fn said(text: &[u8]) -> String {
        let fault = Users::parse(text).expect_err("a fault");
        FileError::of(Path::new("/etc/users"), fault).to_string()
    }

    #[test]
    fn users_stand_beside_comments_and_empty_lines() {
        let text =
            format!("# who may\n\n  \t\r\nann:{A}\r\n \u{e9}mile d:{EMPTY} \n#x:y\nlast:{A}");
        let users = Users::parse(text.as_bytes()).expect("right");
        let check = |text: &str| users.check(&Credentials::of(text));
        let granted = |user: &str| Verdict::Granted(User::from(user));
        assert_eq!(users.users.len(), 3);
        assert_eq!(check("ann:a"), granted("ann"));
        assert_eq!(check("\u{e9}mile d:"), granted("\u{e9}mile d"));
        assert_eq!(check("last:a"), granted("last"));
        for wrong in ["ann:", "ann:A", "Ann:a", "none:a", "#x:y", ":"] {
            assert_eq!(check(wrong), Verdict::Denied, "{wrong}");
        }
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_the_most_costly_known_one() {
        let users = Users::parse(format!("a:{A}\nb:{}", A.replace("06$", "08$")).as_bytes());
        assert_eq!(users.expect("right").nobody.cost, 8);
        let nobody = Users::parse(b"# nobody yet\n").expect("right");
        assert_eq!(nobody.check(&Credentials::of("a:a")), Verdict::Denied);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_helps() {
        let again = "set it again with htpasswd -B";
        for (line, expected) in [
            ("x", "no `:` between user and hash; add the user with htpasswd -B".to_owned()),
            (":x", "no user in front of the `:`; add the user with htpasswd -B".to_owned()),
            ("a\tb:x", "the name of the user has a control character; choose another name".to_owned()),
            ("bob:secret", format!("the password of `bob` is plain text, or DES of crypt, and only bcrypt is read; {again}")),
            ("bob:", format!("the password of `bob` is plain text, or DES of crypt, and only bcrypt is read; {again}")),
            ("bob:$apr1$a$b", format!("the password of `bob` is MD5, and only bcrypt is read; {again}")),
            ("bob:{SHA}x", format!("the password of `bob` is SHA-1, and only bcrypt is read; {again}")),
            ("bob:$6$x", format!("the password of `bob` is SHA-512 of crypt, and only bcrypt is read; {again}")),
            ("bob:$argon2id$v=19$", format!("the password of `bob` is argon2, and only bcrypt is read; {again}")),
            ("bob:$9$x", format!("the password of `bob` is of an unknown kind, and only bcrypt is read; {again}")),
            ("bob:$2y$10$x", "the hash of `bob` is no whole hash of bcrypt; set the password again with htpasswd -B".to_owned()),
            (
                &format!("bob:{}", EMPTY.replace("06$", "31$")),
                "the hash of `bob` has the cost 31, which must be 4 to 17; set the password again with htpasswd -B -C 10".to_owned(),
            ),
            (&format!("ann:{EMPTY}"), "the user `ann` is on line 2 already; remove one".to_owned()),
        ] {
            let text = format!("#\nann:{A}\n{line}\n");
            assert_eq!(said(text.as_bytes()), format!("--auth-file: /etc/users:3: {expected}"));
        }
        let latin = said(b"\nand\xE9:x\n");
        assert_eq!(
            latin,
            "--auth-file: /etc/users:2: the line is not UTF-8; save the file as UTF-8"
        );
    }

    #[test]
    fn a_file_of_any_bytes_is_refused_or_read() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = Users::parse(&bytes);
        });
    }
}
