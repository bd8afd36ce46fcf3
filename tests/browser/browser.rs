//! A browser that looks at a page.

use crate::LIMIT;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serinus_tests::process::Process;
use serinus_tests::{artefacts, wait};
use std::panic::Location;
use tempfile::TempDir;
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;
use tokio::process::Command;

/// Chromium as a test wants it: nothing but the page goes over the network.
const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    // Refuses to run as root otherwise; it opens nothing but our own page.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

pub const DESKTOP: (u32, u32) = (1120, 1150);
pub const PHONE: (u32, u32) = (390, 844);

/// The expression for the text that a reader sees in the element with this id. Of an
/// element that is not rendered `innerText` is all its text; a page that is being loaded
/// has none yet.
fn seen(id: &str) -> String {
    format!(
        "[document.getElementById('{id}')].map((it) => it?.checkVisibility() ? it.innerText : '')[0]"
    )
}

pub struct Browser {
    // Fields drop in this order: the session first, its folder last.
    pub driver: WebDriver,
    _process: Process,
    _folder: TempDir,
}

impl Browser {
    /// A browser with a profile of its own that has opened `url`.
    pub async fn open(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chromium, chromedriver) = artefacts::chromium().unwrap();
        let mut command = Command::new(chromedriver);
        command.arg("--port=0");
        let ready = "ChromeDriver was started successfully on port ";
        let (process, port) = Process::start_until("chromedriver", command, folder.path(), ready)
            .await
            .unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary(&chromium.to_string_lossy()).unwrap();
        for argument in ARGUMENTS {
            wanted.add_arg(argument).unwrap();
        }
        let profile = folder.path().join("profile");
        wanted
            .add_arg(&format!("--user-data-dir={}", profile.display()))
            .unwrap();
        wanted
            .set_browser_log_level(LoggingPrefsLogLevel::All)
            .unwrap();
        let address = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
        let driver = WebDriver::new(&address, wanted).await.unwrap();
        let browser = Self {
            driver,
            _process: process,
            _folder: folder,
        };
        browser.size(DESKTOP).await;
        browser.driver.goto(url).await.unwrap();
        browser
    }

    pub async fn size(&self, (width, height): (u32, u32)) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}),
        )
        .await;
    }

    /// As if the reader's system were set to `light` or `dark`.
    pub async fn scheme(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [feature]}))
            .await;
    }

    pub async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.driver
            .cdp()
            .send_raw(method, parameters)
            .await
            .unwrap()
    }

    /// What a script returns.
    pub async fn js<T: DeserializeOwned>(&self, script: &str) -> T {
        let said = self.try_js(script).await;
        said.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    async fn try_js<T: DeserializeOwned>(&self, script: &str) -> WebDriverResult<T> {
        self.driver.execute(script, vec![]).await?.convert()
    }

    /// The text that a reader sees in the element with this id; nothing while it is hidden.
    pub async fn text(&self, id: &str) -> String {
        self.js(&format!("return {}", seen(id))).await
    }

    /// Waits until an expression is true, and says what the page showed if it never is.
    #[track_caller]
    pub fn until<'a>(&'a self, what: &'a str) -> impl Future<Output = ()> + 'a {
        self.until_from(what, Location::caller())
    }

    async fn until_from(&self, what: &str, here: &Location<'_>) {
        let mut trouble = None;
        let came = wait::until(what, LIMIT, async || {
            // A page that is being loaded anew runs no script.
            let said = self.try_js(&format!("return Boolean({what})")).await;
            let is_so = said.unwrap_or_else(|error| {
                trouble = Some(error);
                false
            });
            Ok(is_so.then_some(()))
        })
        .await;
        if let Err(error) = came {
            let shown: String = self.js("return document.body.innerText").await;
            panic!("{here}: {error}; {trouble:?}; the page shows\n{shown}");
        }
    }

    /// Waits until a reader sees `part` in the element with this id.
    #[track_caller]
    pub fn shows(&self, id: &str, part: &str) -> impl Future<Output = ()> {
        let what = format!("{}.includes({})", seen(id), Value::from(part));
        let here = Location::caller();
        async move { self.until_from(&what, here).await }
    }

    /// Presses the button with this text, as a mouse does.
    pub async fn press(&self, name: &str) {
        let path = format!("//button[normalize-space()='{name}'][not(@hidden)]");
        let button = self.driver.find(By::XPath(path)).await;
        button
            .unwrap_or_else(|error| panic!("no button `{name}`: {error}"))
            .click()
            .await
            .unwrap();
    }

    /// The same, of a button that comes with a change of state.
    pub async fn press_once_there(&self, name: &str) {
        self.shows("actions", name).await;
        self.press(name).await;
    }

    /// Presses the element with this id.
    pub async fn click(&self, id: &str) {
        self.driver
            .find(By::Id(id))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
    }

    /// Types into what has the focus.
    pub async fn keys(&self, keys: impl Into<TypingData>) {
        self.driver
            .action_chain()
            .send_keys(keys)
            .perform()
            .await
            .unwrap();
    }

    /// Everything in the console that is an error. Those of a judge that is away on
    /// purpose are named in `expected`.
    pub async fn errors(&self, expected: &[&str]) -> Vec<String> {
        let log = self.driver.browser_log().await.unwrap();
        let log = log
            .into_iter()
            .filter(|entry| ["SEVERE", "WARNING"].contains(&entry.level.as_str()));
        let lines = log.map(|entry| format!("{:?} {}", entry.level, entry.message));
        lines
            .filter(|line| !expected.iter().any(|part| line.contains(part)))
            .collect()
    }

    pub async fn close(self) {
        self.driver.quit().await.unwrap();
    }
}
