//! `serinus token`: what lets somebody in.

use crate::failure::Failure;
use crate::output::print;
use serinus_judge::access::{Caller, Role, Token, Tokens, TokensError};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct TokenCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a token: it is shown once, and its line for the judge's file of tokens
    New(New),
}

#[derive(clap::Args)]
struct New {
    /// What it may do: viewer (look), operator (look and decide) or proxy (get plans, send
    /// reports)
    #[arg(long)]
    role: Role,
    /// Whose it is: the name stands in the record of what is done with it
    #[arg(long, value_parser = name)]
    name: String,
    /// Add the line to this file, which is made when missing, and print only the token
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    let visible = |c: char| !c.is_whitespace() && !c.is_control() && c != '#';
    if text.is_empty() || text.len() > 64 || !text.chars().all(visible) {
        return Err("a name has 1 to 64 visible characters, without blanks and #".to_owned());
    }
    if Caller::RESERVED.contains(&text) {
        return Err("this name says in the audit log that no token was used".to_owned());
    }
    Ok(text.to_owned())
}

impl TokenCommand {
    pub fn run(&self) -> Result<(), Failure> {
        let Command::New(new) = &self.command;
        let token = Token::random()?;
        let line = format!("{} {} {}\n", new.role, new.name, token.hash());
        match &new.to {
            Some(path) => {
                add(path, &line).map_err(|error| {
                    Failure::Failed(format!("failed to write {}: {error}", path.display()))
                })?;
                print(&format!("{}\n", token.reveal()))
            }
            None => print(&format!(
                "token (shown once): {}\nline for the file of --tokens: {line}",
                token.reveal()
            )),
        }
    }
}

/// For its owner alone, if it is new. What is no file of tokens is left as it is.
fn add(path: &Path, line: &str) -> Result<(), String> {
    let wrong = |error: std::io::Error| error.to_string();
    let before = match std::fs::read(path) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(wrong(error)),
    };
    // Who may read it is asked by the judge.
    if !before.is_empty()
        && let Err(error @ (TokensError::Line { .. } | TokensError::Unreadable { .. })) =
            Tokens::open(path)
    {
        return Err(format!("it is no file of tokens: {error}"));
    }
    // One that was written by hand may end without a new line.
    let glue = match before.last() {
        None | Some(b'\n') => "",
        Some(_) => "\n",
    };
    let mut options = OpenOptions::new();
    let options = options.append(true).create(true).mode(0o600);
    let mut file = options.open(path).map_err(wrong)?;
    file.write_all(format!("{glue}{line}").as_bytes())
        .map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_added_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let token = Token::random().unwrap();
        for (role, name) in [(Role::Viewer, "bob"), (Role::Operator, "alice")] {
            add(&path, &format!("{role} {name} {}\n", token.hash())).unwrap();
        }
        assert_eq!(Tokens::open(&path).unwrap().count(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.trim_end()).unwrap();
        add(&path, &format!("viewer carol {}\n", token.hash())).unwrap();
        assert_eq!(Tokens::open(&path).unwrap().count(), 3);
        let other = folder.path().join("rollout.yaml");
        std::fs::write(&other, "id: digits\n").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
        let refused = add(&other, "viewer bob 00\n").unwrap_err();
        assert!(
            refused.starts_with("it is no file of tokens: "),
            "{refused}"
        );
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "id: digits\n");
        assert!(name("a b").is_err());
        assert!(name("").is_err());
        assert!(name("a#").is_err());
        assert!(name("judge").is_err());
        assert!(name("anonymous").is_err());
        assert_eq!(name("ci@example"), Ok("ci@example".to_owned()));
    }
}
