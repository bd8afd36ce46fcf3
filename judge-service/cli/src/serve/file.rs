//! `serinus serve --config serinus.toml`: options from a file, where neither a flag nor the
//! environment has them.
//!
//! What stands in the file is put behind the command line and read as flags are. So there
//! is one list of options, one way to read their values, and one precedence: flags before
//! the environment before the file before defaults.

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use serinus_judge::private_file;
use std::ffi::OsString;
use std::path::Path;
use toml::{Table, Value};

/// The option that names the file.
pub const OPTION: &str = "config";

/// What `serve` was asked by flags and the environment, with what the file has beside it;
/// `None` when no file is named.
///
/// # Errors
/// A file that cannot be read, or says what no option is.
pub fn arguments(serve: &Command, given: &ArgMatches) -> Result<Option<Vec<OsString>>, String> {
    let Some(path) = given.get_one::<std::path::PathBuf>(OPTION) else {
        return Ok(None);
    };
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("--config: failed to read {file}: {error}"))?;
    let table = parsed(&text).map_err(|problem| format!("--config: {file}{problem}"))?;
    if has_password(&table) {
        private_file::check(path)
            .map_err(|problem| format!("--config: `store` has a password, and {problem}"))?;
    }
    read(serve, given, &table, path).map(Some)
}

/// Where it is wrong, and how; the line itself may have a password.
fn parsed(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| format!(", line {}", before.matches('\n').count() + 1));
        format!("{}: {}", line.unwrap_or_default(), error.message())
    })
}

/// `store = "postgres://user:password@host/database"`.
fn has_password(table: &Table) -> bool {
    let store = table.get("store").and_then(Value::as_str);
    let rest = store.and_then(|store| store.split_once("://"));
    let user = rest.and_then(|(_, rest)| rest.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}

fn read(
    serve: &Command,
    given: &ArgMatches,
    table: &Table,
    path: &Path,
) -> Result<Vec<OsString>, String> {
    let mut arguments = Vec::new();
    for (key, value) in table {
        let wrong = |problem: &str| format!("--config: {}: `{key}` {problem}", path.display());
        let mut options = serve.get_arguments();
        let option = options
            .find(|option| option.get_long() == Some(key) && key != OPTION && key != "help")
            .ok_or_else(|| {
                let dashed = key.replace('_', "-");
                if serve
                    .get_arguments()
                    .any(|option| dashed != *key && option.get_long() == Some(&dashed))
                {
                    wrong(&format!("is no option; `{dashed}` is"))
                } else {
                    wrong("is no option; `serinus serve --help` lists them")
                }
            })?;
        let source = given.value_source(option.get_id().as_str());
        if matches!(
            source,
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        ) {
            continue;
        }
        if matches!(option.get_action(), ArgAction::SetTrue) {
            match value {
                Value::Boolean(true) => arguments.push(format!("--{key}").into()),
                Value::Boolean(false) => {}
                _ => return Err(wrong("is neither true nor false")),
            }
            continue;
        }
        let many = matches!(option.get_action(), ArgAction::Append);
        for value in match value {
            Value::Array(values) if many => values.as_slice(),
            other => std::slice::from_ref(other),
        } {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Integer(number) => number.to_string(),
                Value::Float(number) => number.to_string(),
                _ => return Err(wrong("is neither a text nor a number")),
            };
            // One word: a value that begins with a dash is a value all the same.
            arguments.push(format!("--{key}={text}").into());
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::super::Serve;
    use super::*;
    use clap::{Args, FromArgMatches};

    fn serve() -> Command {
        Serve::augment_args(Command::new("serve"))
    }

    fn asked(flags: &[&str], file: &str) -> Result<Serve, String> {
        let all = || ["serve"].into_iter().chain(flags.iter().copied());
        let given = serve().get_matches_from(all());
        let more = read(
            &serve(),
            &given,
            &file.parse().unwrap(),
            Path::new("f.toml"),
        )?;
        let all = all().map(OsString::from).chain(more);
        let matches = serve()
            .try_get_matches_from(all)
            .map_err(|error| error.to_string())?;
        Serve::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_comes_before_the_file_and_the_file_before_a_default() {
        let file = "listen = \"127.0.0.1:1\"\nreport-interval-ms = 700\nallow-remote = true\nhost = [\"a\", \"b\"]\nholdout-percent = 1.5";
        let serve = asked(&["--listen", "127.0.0.1:2"], file).unwrap();
        assert_eq!(serve.listen.to_string(), "127.0.0.1:2");
        assert_eq!(serve.report_interval_ms, 700);
        assert!((serve.holdout_percent - 1.5).abs() < 1e-9);
        assert_eq!(serve.store, "serinus.sqlite");
        let debug = format!("{:?}", serve.entry);
        assert!(debug.contains("host: [\"a\", \"b\"]"), "{debug}");
        assert!(debug.contains("allow_remote: true"), "{debug}");
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named() {
        for (file, words) in [
            ("port = 1", "f.toml: `port` is no option"),
            ("report_interval_ms = 1000", "`report-interval-ms` is"),
            (
                "listen = [\"a\"]",
                "`listen` is neither a text nor a number",
            ),
            ("allow-remote = \"yes\"", "is neither true nor false"),
            ("report-interval-ms = 1", "1 is not in 100..=600000"),
            ("listen = \"x\"", "invalid value 'x' for '--listen"),
            ("config = \"other.toml\"", "`config` is no option"),
        ] {
            let error = asked(&[], file).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn no_error_quotes_a_password() {
        for (text, words) in [
            (
                "listen = \"a\"\nstore = \"postgres://me:s3cret@db",
                ", line 2: ",
            ),
            ("store = postgres://me:s3cret@db", ", line 1: "),
            (
                "store = \"a:s3cret\"\nstore = \"b:s3cret\"",
                ", line 2: duplicate key",
            ),
        ] {
            let problem = parsed(text).unwrap_err();
            assert!(problem.starts_with(words), "{problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }

    #[test]
    fn a_file_with_a_password_is_its_owners() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serinus.toml");
        let read = |store: &str, mode: u32| {
            std::fs::write(&path, format!("store = \"{store}\"")).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
            let words = ["serve", "--config", path.to_str().unwrap()];
            arguments(&serve(), &serve().get_matches_from(words)).map(|_| ())
        };
        read("serinus.sqlite", 0o644).unwrap();
        read("postgres://me@db/serinus", 0o644).unwrap();
        read("postgres://me:s3cret@db/serinus", 0o640).unwrap();
        let error = read("postgres://me:s3cret@db/serinus", 0o644).unwrap_err();
        assert!(error.contains("run `chmod 600 "), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
