//! Where a store is: a path is SQLite's file, a URL is PostgreSQL's.

use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each process")]
pub enum Location {
    File(PathBuf),
    Postgres(PostgresUrl),
}

/// A PostgreSQL database. What is shown of it is no secret. Its `sslmode` is as psql has
/// it: `prefer` without a word, and `verify-full` (with `sslrootcert`, unless this machine
/// knows the authority) for who wants to know whom it speaks with.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(super) options: PgConnectOptions,
}

const RIGHT: &str = "a path, or postgres://user:password@host:port/database, is right";

impl FromStr for Location {
    type Err = String;

    /// Errors do not repeat the text, which may have a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, _)) = text.split_once("://") else {
            return if text.is_empty() {
                Err(format!("it is empty; {RIGHT}"))
            } else {
                Ok(Self::File(text.into()))
            };
        };
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(format!(
                "`{}` is no database that serinus knows; {RIGHT}",
                scheme.escape_debug()
            ));
        }
        let options = PgConnectOptions::from_str(text)
            .map_err(|error| format!("the URL cannot be read: {}; {RIGHT}", innermost(&error)))?;
        if options.get_database().is_none() {
            return Err(format!("the URL names no database; {RIGHT}"));
        }
        Ok(Self::Postgres(PostgresUrl { options }))
    }
}

/// The cause that says what is wrong, without the words around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        write!(f, "postgres://{}@", options.get_username())?;
        match options.get_socket() {
            Some(folder) => write!(f, "{}", folder.display())?,
            None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
        }
        write!(f, "/{}", options.get_database().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_sqlite_and_a_url_is_postgres() {
        for (text, shown) in [
            ("serinus.sqlite", "serinus.sqlite"),
            ("/var/lib/serinus/a b.sqlite", "/var/lib/serinus/a b.sqlite"),
            (
                "postgres://judge:secret@db.example:5433/serinus",
                "postgres://judge@db.example:5433/serinus",
            ),
            (
                "postgresql://judge:secret@%2Frun%2Fpg/serinus?sslmode=disable",
                "postgres://judge@/run/pg/serinus",
            ),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), shown);
            assert!(!format!("{location:?}").contains("secret"));
        }
    }

    #[test]
    fn a_bad_url_is_said_without_its_password() {
        for (text, said) in [
            ("", "it is empty"),
            ("mysql://judge:secret@db/serinus", "`mysql` is no database"),
            (
                "postgres://judge:secret@db:port/serinus",
                "invalid port number",
            ),
            ("postgres://judge:secret@db:5432", "names no database"),
            (
                "postgres://judge:secret@db/serinus?sslmode=sure",
                "unknown value",
            ),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
