//! Looking for secrets in whatever there is, however they are written.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What is looked up at each place of what is searched.
const START: usize = 8;
/// What is shown of a secret that was made here; the rest is nobody's business.
const SHOWN: usize = "mtg_cs_live_".len() + 4;

/// What is not to be found, in every form, by how it begins.
#[derive(Default)]
pub(super) struct Needles(BTreeMap<[u8; START], Vec<(String, Vec<u8>)>>);

fn percent(text: &[u8], kept: impl Fn(u8) -> bool, upper: bool) -> Vec<u8> {
    let mut encoded = String::new();
    for byte in text {
        match byte {
            byte if kept(*byte) => encoded.push(char::from(*byte)),
            byte if upper => encoded.push_str(&format!("%{byte:02X}")),
            byte => encoded.push_str(&format!("%{byte:02x}")),
        }
    }
    encoded.into_bytes()
}

fn hex(text: &[u8], upper: bool) -> Vec<u8> {
    text.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect::<String>().into()
}

/// The characters of `engine` that say nothing but `text`, where that stands `offset` bytes (modulo 3) behind the start.
fn aligned(engine: &impl Engine, text: &[u8], offset: usize) -> Vec<u8> {
    let encoded = engine.encode([&vec![0; offset][..], text].concat());
    let whole = if (offset + text.len()).is_multiple_of(3) { encoded.len() } else { encoded.len() - 1 };
    encoded.as_bytes()[[0, 2, 3][offset]..whole].to_vec()
}

/// Every form of a text.
fn forms(text: &str) -> BTreeSet<(&'static str, Vec<u8>)> {
    let bytes = text.as_bytes();
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let json = serde_json::to_string(text).unwrap();
    let mut forms = BTreeSet::from([
        ("raw", bytes.to_vec()),
        ("JSON", json.trim_matches('"').as_bytes().to_vec()),
        ("JSON in JSON", serde_json::to_string(&json).unwrap().trim_matches(['"', '\\']).as_bytes().to_vec()),
        ("form", url::form_urlencoded::byte_serialize(bytes).collect::<String>().into_bytes()),
        ("hex", hex(bytes, false)),
        ("HEX", hex(bytes, true)),
        ("bytes", format!("{bytes:?}").trim_matches(['[', ']']).into()),
    ]);
    for upper in [false, true] {
        forms.insert(("percent", percent(bytes, unreserved, upper)));
        forms.insert(("percent, all of it", percent(bytes, |_| false, upper)));
    }
    for offset in 0..3 {
        forms.insert(("base64", aligned(&STANDARD_NO_PAD, bytes, offset)));
        forms.insert(("base64url", aligned(&URL_SAFE_NO_PAD, bytes, offset)));
    }
    forms
}

impl Needles {
    /// Looks for `secret`, which was made by way of `how`, too: for all of it that is never shown.
    pub(super) fn add(&mut self, how: &str, secret: &str) {
        let hidden = if secret.starts_with("mtg_cs_") { &secret[SHOWN..] } else { secret };
        for (form, needle) in forms(hidden) {
            let start = needle[..START].try_into().unwrap();
            self.0.entry(start).or_default().push((format!("{how}, {form}"), needle));
        }
    }

    /// What of it is in `bytes`.
    pub(super) fn found(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut first = vec![false; 1 << 16];
        for start in self.0.keys() {
            first[usize::from(u16::from_le_bytes([start[0], start[1]]))] = true;
        }
        let mut found = BTreeSet::new();
        for (at, window) in bytes.windows(START).enumerate() {
            // Most places are none.
            if !first[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
                continue;
            }
            let here = self.0.get(window).into_iter().flatten();
            found.extend(here.filter(|(_, needle)| bytes[at..].starts_with(needle)).map(|(what, _)| what.as_str()));
        }
        found
    }
}

#[test]
fn every_form_is_found_wherever_it_stands() {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    for text in ["mtg_cs_live_abcdSbWsQ4pPAmaiTGWS7UcnMyJKQZnCoq4kBnJiu01abcdef", r#"given "canary"/+ %41&~=\ end"#] {
        let mut needles = Needles::default();
        needles.add("x", text);
        let hidden = if text.starts_with("mtg_cs_") { &text[SHOWN..] } else { text };
        for before in ["", "a", "ab", "abc", "id:"] {
            let whole = format!("{before}{hidden} and more");
            let mut written = vec![
                ("raw", whole.clone()),
                ("JSON", serde_json::json!({ "a": whole }).to_string()),
                ("JSON in JSON", serde_json::json!({ "a": serde_json::json!({ "a": whole }).to_string() }).to_string()),
                ("form", url::form_urlencoded::byte_serialize(whole.as_bytes()).collect()),
                ("base64", STANDARD.encode(&whole)),
                ("base64url", URL_SAFE.encode(&whole)),
                ("bytes", format!("{:?}", whole.as_bytes())),
            ];
            for upper in [false, true] {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                written.push((if upper { "HEX" } else { "hex" }, text(hex(whole.as_bytes(), upper))));
                written.push(("percent, all of it", text(percent(whole.as_bytes(), |_| false, upper))));
            }
            for (form, written) in written {
                let found = needles.found(written.as_bytes());
                assert!(found.contains(format!("x, {form}").as_str()), "{form} of {whole}: {found:?} in {written}");
            }
            assert!(needles.found(format!("{before}{}", &hidden[1..]).as_bytes()).is_empty());
        }
    }
}
