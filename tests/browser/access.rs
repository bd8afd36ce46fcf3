//! What a screen reader is told, and what a keyboard reaches.

use crate::browser::Browser;
use crate::{LIMIT, judge, rollout, turn};
use serde_json::{Value, json};
use serinus_tests::judge::status::Phase;
use serinus_tests::wait;
use thirtyfour::Key;

/// Roles that mean nothing without a name.
const NAMED: [&str; 14] = [
    "button",
    "link",
    "textbox",
    "searchbox",
    "image",
    "img",
    "meter",
    "region",
    "navigation",
    "heading",
    "dialog",
    "columnheader",
    "rowheader",
    "DisclosureTriangle",
];

/// The browser's own accessibility tree, which is what a screen reader gets. It comes a
/// moment after the page.
async fn tree(browser: &Browser) -> Vec<(String, String)> {
    wait::until("what is read aloud", LIMIT, async || {
        let tree = tree_now(browser).await;
        let is_whole = tree.iter().any(|(role, _)| role == "heading");
        Ok(is_whole.then_some(tree))
    })
    .await
    .unwrap()
}

async fn tree_now(browser: &Browser) -> Vec<(String, String)> {
    let all = browser
        .devtools("Accessibility.getFullAXTree", json!({}))
        .await;
    let nodes = all["nodes"].as_array().unwrap().iter();
    let seen = nodes.filter(|node| node["ignored"] != Value::Bool(true));
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    seen.map(|node| (text(&node["role"]), text(&node["name"])))
        .collect()
}

/// Everything that can be used has a name.
async fn has_names(browser: &Browser) -> Vec<(String, String)> {
    let tree = tree(browser).await;
    let nameless: Vec<_> = tree
        .iter()
        .filter(|(role, name)| NAMED.contains(&role.as_str()) && name.trim().is_empty())
        .collect();
    assert!(nameless.is_empty(), "without a name: {nameless:?}");
    tree
}

/// And the page has the shape that is read aloud.
pub async fn is_named(browser: &Browser) {
    let tree = has_names(browser).await;
    let count = |wanted: &str| tree.iter().filter(|(role, _)| role == wanted).count();
    assert_eq!(count("main"), 1, "{tree:?}");
    assert!(count("heading") > 0, "{tree:?}");
    let headings: Vec<u32> = browser
        .js("return [...document.querySelectorAll('h1,h2,h3,h4')].filter(h => h.checkVisibility()).map(h => Number(h.tagName[1]))")
        .await;
    assert_eq!(headings.first(), Some(&1), "the first heading is no h1");
    assert_eq!(
        headings.iter().filter(|&&level| level == 1).count(),
        1,
        "one h1"
    );
    let jumps = headings
        .windows(2)
        .filter(|pair| pair[1] > pair[0] + 1)
        .count();
    assert_eq!(jumps, 0, "a heading's level is left out: {headings:?}");
    let twice: Vec<String> = browser
        .js("const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.filter((id, i) => ids.indexOf(id) !== i)")
        .await;
    assert!(twice.is_empty(), "ids that are there twice: {twice:?}");
    let dangling: Vec<String> = browser
        .js("return [...document.querySelectorAll('[aria-labelledby],[aria-describedby],[aria-controls],[for]')].flatMap(e => ['aria-labelledby','aria-describedby','aria-controls','for'].flatMap(a => (e.getAttribute(a) ?? '').split(' ').filter(id => id && !document.getElementById(id))))")
        .await;
    assert!(
        dangling.is_empty(),
        "named by ids that are not there: {dangling:?}"
    );
}

/// What a person presses is large enough for a thumb (WCAG 2.2: 24 px).
pub async fn can_be_pressed(browser: &Browser) {
    let small: Vec<String> = browser
        .js("return [...document.querySelectorAll('button,input,summary')].filter(e => e.checkVisibility()).filter(e => { const r = e.getBoundingClientRect(); return r.height < 24 || r.width < 24 }).map(e => e.outerHTML.slice(0, 80))")
        .await;
    assert!(small.is_empty(), "too small to press: {small:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_has_a_name() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    let browser = Browser::open(&judge.address()).await;
    browser.shows("empty", "No rollouts yet").await;
    is_named(&browser).await;
    judge.create(&rollout("named")).await.unwrap();
    browser.shows("headline", "v2 serves 10% of users").await;
    is_named(&browser).await;
    can_be_pressed(&browser).await;
    browser.press("Abort").await;
    // What is behind the dialog is out of reach meanwhile.
    let dialog = ("dialog".to_owned(), "Abort: named?".to_owned());
    wait::until("a named dialog in the tree", LIMIT, async || {
        Ok(has_names(&browser).await.contains(&dialog).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(browser.errors(&[]).await, [""; 0]);
    browser.close().await;
}

/// Presses Tab until an element has the focus, which must be seen on each that has it.
async fn tab_to(browser: &Browser, what: &str) {
    for _ in 0..60 {
        let there: bool = browser
            .js(&format!("return document.activeElement.matches({what:?})"))
            .await;
        if there {
            return;
        }
        browser.keys(Key::Tab).await;
        let seen: bool = browser
            .js("const e = document.activeElement; if (e === document.body) return true; const s = getComputedStyle(e); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2")
            .await;
        let focused: String = browser
            .js("return document.activeElement.outerHTML.slice(0, 100)")
            .await;
        assert!(seen, "the focus does not show on {focused}");
    }
    panic!("the keyboard does not reach {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_alone_aborts_a_rollout() {
    let _turn = turn().await;
    let (judge, _folder) = judge().await;
    judge.create(&rollout("typed")).await.unwrap();
    let browser = Browser::open(&judge.address()).await;
    browser.shows("headline", "v2 serves 10% of users").await;
    tab_to(&browser, "#actions button.danger").await;
    browser.keys(Key::Enter).await;
    browser
        .until("document.getElementById('dialog').open")
        .await;
    tab_to(&browser, "#reason").await;
    browser.keys("by keyboard").await;
    // Escape changes nothing, and the focus goes back to where it was.
    browser.keys(Key::Escape).await;
    browser
        .until("!document.getElementById('dialog').open")
        .await;
    browser
        .until("document.activeElement.matches('#actions button.danger')")
        .await;
    assert_eq!(judge.status("typed").await.unwrap().phase, Phase::Running);
    browser.keys(Key::Enter).await;
    browser
        .until("document.getElementById('dialog').open")
        .await;
    tab_to(&browser, "#reason").await;
    browser.keys("by keyboard").await;
    tab_to(&browser, "#confirm").await;
    browser.keys(Key::Enter).await;
    browser.shows("headline", "Aborted by hand at 10%").await;
    browser
        .until("document.activeElement.id === 'headline'")
        .await;
    // A screen reader hears what became of it, and why.
    browser
        .until("document.getElementById('announce').textContent.includes('Aborted: by keyboard')")
        .await;
    let decisions = judge.decisions("typed").await.unwrap();
    assert_eq!(decisions.last().unwrap().reasons, ["by keyboard"]);
    browser.close().await;
}
