//! `--webhooks`: who is told of decisions.

use crate::failure::Failure;
use crate::files::{read, secret_in, within};
use serinus_core::json::{FieldError, read_strict};
use serinus_judge::service::Webhook;
use std::path::Path;
use std::sync::Arc;

const OPTION: &str = "--webhooks";

/// # Errors
/// A file that cannot be read, or the field of it that does not make sense.
pub fn open(path: &Path) -> Result<Vec<Arc<Webhook>>, Failure> {
    let bytes = read(OPTION, path)?;
    let mut hooks: Vec<Webhook> =
        read_strict(&bytes).map_err(|error| within(OPTION, path, &error))?;
    let names: Vec<String> = hooks.iter().map(|hook| hook.name.clone()).collect();
    for (index, hook) in hooks.iter_mut().enumerate() {
        check(index, hook, names.get(..index).unwrap_or_default())
            .map_err(|error| within(OPTION, path, &error))?;
        if let Some(file) = &hook.secret_file {
            // Beside the file that names it, unless it says where.
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            let of = format!("{OPTION}: {}: [{index}].secret_file", path.display());
            hook.secret = Some(secret_in(&of, &file)?);
        }
    }
    Ok(hooks.into_iter().map(Arc::new).collect())
}

fn check(index: usize, hook: &Webhook, before: &[String]) -> Result<(), FieldError> {
    let Webhook { name, url, .. } = hook;
    if name.is_empty() || name.len() > 64 {
        return Err(FieldError::new(
            format!("[{index}].name"),
            "has to have 1 to 64 characters",
        ));
    }
    if before.contains(name) {
        return Err(FieldError::new(
            format!("[{index}].name"),
            format!("`{name}` names two webhooks"),
        ));
    }
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if rest.is_none_or(str::is_empty) {
        return Err(FieldError::new(
            format!("[{index}].url"),
            format!("is `{url}`; a URL such as `https://hooks.example/serinus` is right"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn opened(text: &str) -> Result<Vec<Arc<Webhook>>, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, mode) in [
            ("secret", "s3cret\n", 0o600),
            ("empty", "\n", 0o600),
            ("open", "s3cret\n", 0o644),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        }
        let file = folder.path().join("webhooks.json");
        std::fs::write(&file, text).unwrap();
        open(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn secrets_lie_beside_the_file_and_errors_name_their_field() {
        let own = r#"[{"name": "a", "url": "http://x", "events": ["promoted"], "secret_file": "secret"}]"#;
        assert_eq!(opened(own).unwrap()[0].secret.as_deref(), Some("s3cret"));
        for (text, words) in [
            (r#"[{"name": "a", "url": "x"}]"#, "[0].url"),
            (r#"[{"name": "", "url": "http://x"}]"#, "[0].name"),
            (
                r#"[{"name": "a", "url": "http://x"}, {"name": "a", "url": "http://x"}]"#,
                "[1].name",
            ),
            (
                r#"[{"name": "a", "url": "http://x", "event": []}]"#,
                "event",
            ),
            (
                r#"[{"name": "a", "url": "http://x", "events": ["promotd"]}]"#,
                "events",
            ),
            (
                r#"[{"name": "a", "url": "http://x", "secret_file": "none"}]"#,
                "secret_file",
            ),
            (
                r#"[{"name": "a", "url": "http://x", "secret_file": "empty"}]"#,
                "empty is empty",
            ),
            (
                r#"[{"name": "a", "url": "http://x", "secret_file": "open"}]"#,
                "run `chmod 600 ",
            ),
        ] {
            let error = opened(text).unwrap_err();
            assert!(
                error.contains(words) && error.contains("--webhooks"),
                "{text}: {error}"
            );
        }
    }
}
