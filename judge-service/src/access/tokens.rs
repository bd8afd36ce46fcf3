//! The file of tokens: for each its role, its name and its SHA-256.

use super::token::{digest, read_hash};
use super::{Caller, Role};
use crate::private_file::{self, TooOpen};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// What stands in a file beyond this is no list of tokens.
const LARGEST: u64 = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("failed to read {file}: {why}")]
    Unreadable { file: String, why: String },
    #[error("{0}")]
    Open(#[from] TooOpen),
    #[error("{file}, line {line}: {problem}")]
    Line {
        file: String,
        line: usize,
        problem: String,
    },
    #[error("{file} has no token; `serinus token new --role operator --name NAME` makes one")]
    Empty { file: String },
}

/// Tokens that are known. A token is asked for without its file being read.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    known: RwLock<Arc<[Known]>>,
    /// Raised when others are known than before.
    changed: watch::Sender<()>,
}

/// A token by which somebody was let in.
pub struct Shown {
    hash: [u8; 32],
    caller: Caller,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    hash: [u8; 32],
    caller: Caller,
}

impl Tokens {
    /// # Errors
    /// A file that is not there, that others may read, or that is no list of tokens.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        let known = read(path)?;
        if known.is_empty() {
            let file = path.display().to_string();
            return Err(TokensError::Empty { file });
        }
        Ok(Self {
            path: path.to_owned(),
            known: RwLock::new(known),
            changed: watch::Sender::new(()),
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again. One without a token lets nobody in: whoever takes the last
    /// one out means it.
    ///
    /// # Errors
    /// As [`Self::open`]; the tokens of before go on to be good.
    pub fn again(&self) -> Result<(), TokensError> {
        let read = read(&self.path)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *known, read);
        let is_other = before != *known;
        drop(known);
        if is_other {
            self.changed.send_replace(());
        }
        Ok(())
    }

    /// Returns when a token is known no more, or is another's by now.
    pub async fn taken_out(&self, token: &Shown) {
        let mut changed = self.changed.subscribe();
        while self.find(&token.hash).as_ref() == Some(&token.caller) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.known().len()
    }

    /// Whose token this is. What it costs does not depend on which it is, or on how much
    /// of it is right.
    #[must_use]
    pub fn caller(&self, presented: &str) -> Option<Caller> {
        self.shown(presented).map(|token| token.caller)
    }

    /// As [`Self::caller`], for somebody who stays.
    #[must_use]
    pub fn shown(&self, presented: &str) -> Option<Shown> {
        let hash = digest(presented)?;
        let caller = self.find(&hash)?;
        Some(Shown { hash, caller })
    }

    fn find(&self, hash: &[u8; 32]) -> Option<Caller> {
        let known = self.known();
        let mut found = None;
        for token in known.iter() {
            if bool::from(token.hash.ct_eq(hash)) {
                found = Some(&token.caller);
            }
        }
        found.cloned()
    }

    fn known(&self) -> Arc<[Known]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known)
    }
}

// === impl Shown ===

impl Shown {
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

fn read(path: &Path) -> Result<Arc<[Known]>, TokensError> {
    let file = path.display().to_string();
    let unreadable = |why: String| TokensError::Unreadable {
        file: file.clone(),
        why,
    };
    let about = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !about.is_file() {
        return Err(unreadable("it is no file".to_owned()));
    }
    private_file::check_mode(path, &about)?;
    if about.len() > LARGEST {
        return Err(unreadable(format!("it has over {LARGEST} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let mut known = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        known.push(one(line).map_err(|problem| TokensError::Line {
            file: file.clone(),
            line: number + 1,
            problem,
        })?);
    }
    Ok(known.into())
}

/// `operator alice 5f2c...`.
fn one(line: &str) -> Result<Known, String> {
    let mut words = line.split_whitespace();
    let (Some(role), Some(name), Some(hash), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(
            "is not a role, a name and a SHA-256, with blanks between: `operator alice 5f2c...`"
                .to_owned(),
        );
    };
    let role: Role = role.parse()?;
    if Caller::RESERVED.contains(&name) {
        return Err(format!(
            "`{name}` is nobody's name: it says in the audit log that no token was used"
        ));
    }
    let hash = read_hash(hash).ok_or_else(|| {
        if hash.starts_with("serinus_") {
            "has the token itself: its SHA-256 belongs here, and this token is to be made anew"
                .to_owned()
        } else {
            format!("`{hash}` is no SHA-256, which has 64 hex digits")
        }
    })?;
    Ok(Known {
        hash,
        caller: Caller {
            name: name.to_owned(),
            role,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::Token;
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    struct File(tempfile::TempDir);

    impl File {
        fn new(text: &str, mode: u32) -> Self {
            let file = Self(tempfile::tempdir().unwrap());
            file.write(text, mode);
            file
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("tokens")
        }

        fn write(&self, text: &str, mode: u32) {
            std::fs::write(self.path(), text).unwrap();
            std::fs::set_permissions(self.path(), Permissions::from_mode(mode)).unwrap();
        }
    }

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let (alice, envoy) = (Token::random().unwrap(), Token::random().unwrap());
        let text = format!(
            "# those who may\noperator alice {}\n\nproxy  envoy\t{} # since June\n",
            alice.hash(),
            envoy.hash()
        );
        let file = File::new(&text, 0o600);
        let tokens = Tokens::open(&file.path()).unwrap();
        assert_eq!(tokens.count(), 2);
        let caller = tokens.caller(alice.reveal()).unwrap();
        assert_eq!(
            (caller.name.as_str(), caller.role),
            ("alice", Role::Operator)
        );
        assert_eq!(tokens.caller(envoy.reveal()).unwrap().role, Role::Proxy);
        let longer = format!("{}x", alice.reveal());
        for wrong in ["", "serinus_", &alice.hash(), &longer, &"x".repeat(300)] {
            assert_eq!(tokens.caller(wrong), None, "{wrong}");
        }

        file.write(&format!("viewer bob {}", envoy.hash()), 0o640);
        tokens.again().unwrap();
        assert_eq!(tokens.caller(alice.reveal()), None, "it was taken out");
        assert_eq!(tokens.caller(envoy.reveal()).unwrap().name, "bob");

        file.write("nonsense", 0o600);
        tokens.again().unwrap_err();
        assert_eq!(tokens.caller(envoy.reveal()).unwrap().name, "bob");

        file.write("# nobody any more\n", 0o600);
        tokens.again().unwrap();
        assert_eq!(tokens.caller(envoy.reveal()), None);
        assert_eq!(tokens.count(), 0);
    }

    #[tokio::test]
    async fn who_stays_hears_that_a_token_is_out() {
        use futures_util::FutureExt;
        let (alice, bob) = (Token::random().unwrap(), Token::random().unwrap());
        let line = |role, name, token: &Token| format!("{role} {name} {}\n", token.hash());
        let both = line("operator", "alice", &alice) + &line("viewer", "bob", &bob);
        let file = File::new(&both, 0o600);
        let tokens = Tokens::open(&file.path()).unwrap();
        let shown = |token: &Token| tokens.shown(token.reveal()).unwrap();
        let (of_alice, of_bob) = (shown(&alice), shown(&bob));
        let mut alice_is_out = Box::pin(tokens.taken_out(&of_alice));
        let mut bob_is_out = Box::pin(tokens.taken_out(&of_bob));
        tokens.again().unwrap();
        assert!(alice_is_out.as_mut().now_or_never().is_none());
        assert!(bob_is_out.as_mut().now_or_never().is_none());
        // Bob may do more from now on; that is another token as far as his streams go.
        file.write(&line("operator", "bob", &bob), 0o600);
        tokens.again().unwrap();
        assert!(alice_is_out.as_mut().now_or_never().is_some());
        assert!(bob_is_out.as_mut().now_or_never().is_some());
        // Whoever asks too late hears at once.
        assert!(tokens.taken_out(&of_alice).now_or_never().is_some());
        assert!(tokens.taken_out(&shown(&bob)).now_or_never().is_none());
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_with_what_would_be_right() {
        let hash = "0".repeat(64);
        let token = Token::random().unwrap();
        for (text, mode, words) in [
            (format!("operator alice {hash}"), 0o644, "run `chmod 600 "),
            (format!("operator alice {hash}"), 0o602, "(its mode is 602)"),
            (
                format!("admin alice {hash}"),
                0o600,
                "line 1: `admin` is no role",
            ),
            (
                "\noperator alice".to_owned(),
                0o600,
                "line 2: is not a role, a name",
            ),
            (
                format!("operator a b {hash}"),
                0o600,
                "line 1: is not a role, a name",
            ),
            (
                format!("operator judge {hash}"),
                0o600,
                "line 1: `judge` is nobody's name",
            ),
            (format!("viewer anonymous {hash}"), 0o600, "`anonymous` is"),
            ("operator alice 12".to_owned(), 0o600, "64 hex digits"),
            (
                format!("operator alice {}", token.reveal()),
                0o600,
                "has the token itself",
            ),
            ("# nobody yet\n".to_owned(), 0o600, "has no token"),
        ] {
            let file = File::new(&text, mode);
            let error = Tokens::open(&file.path()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains(token.reveal()), "{error}");
        }
        let error = Tokens::open(Path::new("/nowhere/tokens")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/tokens"), "{error}");
    }
}
