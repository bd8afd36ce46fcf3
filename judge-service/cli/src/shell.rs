//! What shells and `man` know of the command.

use crate::failure::Failure;
use crate::output::print;
use clap::Command;
use clap_complete::Shell;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Completions {
    /// The shell that reads what is printed
    shell: Shell,
}

#[derive(clap::Args)]
pub struct Man {
    /// A folder for the pages of all commands [default: the command's own, printed]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

impl Completions {
    pub fn run(&self, mut command: Command) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "serinus", &mut text);
        print(&String::from_utf8_lossy(&text))
    }
}

impl Man {
    pub fn run(&self, mut command: Command) -> Result<(), Failure> {
        let Some(folder) = &self.into else {
            return print(&page(&command, "serinus")?);
        };
        fs::create_dir_all(folder)
            .map_err(|error| format!("--into: failed to make {}: {error}", folder.display()))?;
        command.build();
        let mut names = Vec::new();
        write(folder, &command, "serinus", &mut names)?;
        print(&(names.join("\n") + "\n"))
    }
}

/// The page of a command, and those of the commands in it.
fn write(
    folder: &Path,
    command: &Command,
    name: &str,
    names: &mut Vec<String>,
) -> Result<(), Failure> {
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page(command, name)?)
        .map_err(|error| format!("--into: failed to write {}: {error}", path.display()))?;
    names.push(path.display().to_string());
    let inner = command.get_subcommands();
    for inner in inner.filter(|inner| inner.get_name() != "help" && !inner.is_hide_set()) {
        write(
            folder,
            inner,
            &format!("{name}-{}", inner.get_name()),
            names,
        )?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> Result<String, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut text)
        .map_err(|error| format!("failed to write a page: {error}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
