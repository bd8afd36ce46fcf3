//! The fenced blocks of a guide.

/// What is done with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Run,
    /// Goes on in the background; it is ready once it has printed this.
    Background(String),
    /// Lines that the block before printed.
    Output,
    Read,
}

#[derive(Debug, Clone)]
pub struct Block {
    pub kind: Kind,
    /// Of the guide, where the block begins.
    pub line: usize,
    pub text: String,
}

impl Block {
    pub fn runs(&self) -> bool {
        matches!(self.kind, Kind::Run | Kind::Background(_))
    }
}

const FENCE: &str = "```";

/// All blocks in their order.
pub fn of(guide: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(guide.lines());
    while let Some((line, text)) = lines.next() {
        // One below a list's item is indented with it.
        let bare = text.trim_start();
        let Some(info) = bare.strip_prefix(FENCE) else {
            continue;
        };
        let indent = text.len() - bare.len();
        let mut block = String::new();
        loop {
            let Some((_, text)) = lines.next() else {
                return Err(format!("the block of line {line} has no end"));
            };
            if text.trim_start() == FENCE {
                break;
            }
            block.push_str(text.get(indent..).unwrap_or_default());
            block.push('\n');
        }
        let kind = match info.split_once(' ') {
            _ if info == "sh" => Kind::Run,
            _ if info == "output" => Kind::Output,
            Some(("sh", how)) => match how.strip_prefix("background ") {
                Some(ready) => Kind::Background(ready.to_owned()),
                None => return Err(format!("line {line}: `{how}` is no way to run a block")),
            },
            _ => Kind::Read,
        };
        blocks.push(Block {
            kind,
            line,
            text: block,
        });
    }
    Ok(blocks)
}

/// Files that links and pictures name, without those on the web and within the page.
pub fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

#[test]
fn fences_say_what_a_block_is() {
    let guide = "a\n```sh\nls\n```\n1. b\n\n   ```sh background is up\n   serve\n     more\n   ```\n```output\nx\n```\n```yaml\nid: a\n```\n";
    let blocks = of(guide).unwrap();
    let kinds: Vec<Kind> = blocks.iter().map(|block| block.kind.clone()).collect();
    let background = Kind::Background("is up".to_owned());
    assert_eq!(kinds, [Kind::Run, background, Kind::Output, Kind::Read]);
    assert_eq!(blocks[1].text, "serve\n  more\n");
    assert_eq!(blocks[1].line, 7);
    assert!(of("```sh\nls\n").is_err());
    assert!(of("```sh quickly\nls\n```\n").is_err());
}

#[test]
fn links_to_files_are_found() {
    let text = "[a](b.md#c) ![p](d.svg) [e](https://f.example) [g](#h)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b.md", "d.svg"]);
}
