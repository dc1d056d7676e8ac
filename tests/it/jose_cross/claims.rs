//! Claims that a signature alone does not make good.

use mintage::clock::UnixTime;
use mintage::jose::JwsError;
use mintage::jose::claims::ClaimError::{self, *};
use mintage::resource::TokenError;
use serde_json::json;

use super::{API, NOW, PARTIES, Party, claims_of, edited, good_claims};

fn with(party: &Party, name: &str, value: Option<&str>) -> String {
    party.sign(party.header().to_string(), edited(&good_claims(), name, value))
}

fn other_audience(found: &[&str]) -> ClaimError {
    WrongAudience { found: found.iter().map(|one| (*one).to_owned()).collect(), wanted: API.to_owned() }
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

#[test]
fn forged_claims_are_refused() {
    let thirty_three = json!((0..33).map(|n| format!("10.0.{n}.0/24")).collect::<Vec<_>>()).to_string();
    let text = |seconds: i64| seconds.to_string();
    let (quoted_exp, quoted_nbf) = (format!("\"{}\"", NOW + 300), format!("\"{NOW}\""));
    let aud_with_a_number = format!("[\"{API}\", 7]");
    let aud_with_null = format!("[\"{API}\", null]");
    let aud_nested = format!("[[\"{API}\"]]");
    let aud_below = format!("{{\"{API}\":true}}");
    let aud_joined = format!("\"https://other.example {API}\"");
    let table: &[(&str, Option<&str>, ClaimError)] = &[
        ("iss", Some(r#""https://other.example""#), WrongIssuer),
        ("iss", Some(r#""https://issuer.example/""#), WrongIssuer),
        ("iss", Some(r#""https://ISSUER.example""#), WrongIssuer),
        ("iss", Some(r#""https://issuer.example\u0000""#), WrongIssuer),
        ("iss", Some(r#"["https://issuer.example"]"#), WrongType("iss")),
        ("iss", Some(r#"{"https://issuer.example":1}"#), WrongType("iss")),
        ("iss", Some("7"), WrongType("iss")),
        ("iss", Some("null"), WrongType("iss")),
        ("iss", None, Missing("iss")),
        ("aud", None, Missing("aud")),
        ("aud", Some("7"), WrongType("aud")),
        ("aud", Some("null"), WrongType("aud")),
        ("aud", Some("true"), WrongType("aud")),
        ("aud", Some("{}"), WrongType("aud")),
        ("aud", Some(&aud_below), WrongType("aud")),
        ("aud", Some("[]"), WrongType("aud")),
        ("aud", Some(&aud_with_a_number), WrongType("aud")),
        ("aud", Some(&aud_with_null), WrongType("aud")),
        ("aud", Some(&aud_nested), WrongType("aud")),
        ("aud", Some(r#""https://other.example""#), other_audience(&["https://other.example"])),
        ("aud", Some(r#"["https://other.example"]"#), other_audience(&["https://other.example"])),
        ("aud", Some(r#""https://orders.example/""#), other_audience(&["https://orders.example/"])),
        ("aud", Some(&aud_joined), other_audience(&["https://other.example https://orders.example"])),
        ("aud", Some(r#""""#), other_audience(&[""])),
        ("exp", None, Missing("exp")),
        ("exp", Some(&quoted_exp), WrongType("exp")),
        ("exp", Some("null"), WrongType("exp")),
        ("exp", Some("true"), WrongType("exp")),
        ("exp", Some("[4000000300]"), WrongType("exp")),
        ("exp", Some("{}"), WrongType("exp")),
        ("exp", Some("-1"), Expired(at(-1))),
        ("exp", Some("0"), Expired(at(0))),
        ("exp", Some("-1e300"), Expired(at(i64::MIN))),
        ("exp", Some(&text(NOW - 31)), Expired(at(NOW - 31))),
        // RFC 7519 §4.1.4: on or after; so at the very end of the leeway as well.
        ("exp", Some(&text(NOW - 30)), Expired(at(NOW - 30))),
        ("nbf", Some(&text(NOW + 31)), NotYetValid(at(NOW + 31))),
        ("nbf", Some("1e300"), NotYetValid(at(i64::MAX))),
        ("nbf", Some("18446744073709551615"), NotYetValid(at(i64::MAX))),
        ("nbf", Some(&quoted_nbf), WrongType("nbf")),
        ("nbf", Some("null"), WrongType("nbf")),
        ("nbf", Some("false"), WrongType("nbf")),
        ("iat", None, Missing("iat")),
        ("iat", Some(&quoted_nbf), WrongType("iat")),
        ("iat", Some("null"), WrongType("iat")),
        ("sub", None, Missing("sub")),
        ("sub", Some("7"), WrongType("sub")),
        ("sub", Some(r#""""#), Missing("sub")),
        ("client_id", None, Missing("client_id")),
        ("client_id", Some("[]"), WrongType("client_id")),
        ("client_id", Some(r#""""#), Missing("client_id")),
        ("jti", None, Missing("jti")),
        ("jti", Some("7"), WrongType("jti")),
        ("jti", Some("null"), WrongType("jti")),
        ("jti", Some(r#"["AAAAAAAAAAAAAAAAAAAAAA"]"#), WrongType("jti")),
        ("jti", Some(r#""""#), Missing("jti")),
        ("scope", Some(r#"["orders:read"]"#), WrongType("scope")),
        ("scope", Some("null"), WrongType("scope")),
        ("scope", Some(r#""orders:\"read""#), WrongType("scope")),
        ("scope", Some(r#""orders:\\read""#), WrongType("scope")),
        ("scope", Some(r#""orders:read\torders:write""#), WrongType("scope")),
        ("scope", Some(r#""orders:read\n""#), WrongType("scope")),
        ("scope", Some(r#""orders:réad""#), WrongType("scope")),
        ("scope", Some(r#""orders:read\u0000""#), WrongType("scope")),
        ("ip_allowlist", Some(r#""10.0.0.0/8""#), WrongType("ip_allowlist")),
        ("ip_allowlist", Some("null"), WrongType("ip_allowlist")),
        ("ip_allowlist", Some("{}"), WrongType("ip_allowlist")),
        ("ip_allowlist", Some("[7]"), WrongType("ip_allowlist")),
        ("ip_allowlist", Some(r#"["10.0.0.0/33"]"#), WrongType("ip_allowlist")),
        ("ip_allowlist", Some(r#"["010.0.0.0/8"]"#), WrongType("ip_allowlist")),
        ("ip_allowlist", Some(r#"["10.0.0.0/8", "*"]"#), WrongType("ip_allowlist")),
        ("ip_allowlist", Some(r#"["fe80::1%eth0"]"#), WrongType("ip_allowlist")),
        ("ip_allowlist", Some(&thirty_three), WrongType("ip_allowlist")),
        ("cnf", Some(r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#), KeyBound),
        ("cnf", Some("null"), KeyBound),
        ("gen", Some("7"), WrongType("gen")),
        ("org", Some("[]"), WrongType("org")),
        ("project", Some("null"), WrongType("project")),
        ("env", Some("true"), WrongType("env")),
    ];
    for party in PARTIES.iter() {
        for (name, value, why) in table {
            let forged = with(party, name, *value);
            party.refuses(&format!("{name}={}", value.unwrap_or("(none)")), &forged, why.clone());
        }
    }
    assert!(table.len() > 70, "{}", table.len());
}

#[test]
fn forged_claims_are_refused_from_the_other_implementation_too() {
    for party in PARTIES.iter() {
        for (name, value, why) in [
            ("iss", json!("https://other.example"), WrongIssuer),
            ("aud", json!(["https://other.example"]), other_audience(&["https://other.example"])),
            ("exp", json!(NOW - 31), Expired(at(NOW - 31))),
            ("nbf", json!(NOW + 31), NotYetValid(at(NOW + 31))),
            ("jti", json!(7), WrongType("jti")),
        ] {
            let mut claims = good_claims();
            claims[name] = value;
            party.refuses(name, &party.encode(&claims), why);
        }
    }
}

#[test]
fn what_only_looks_odd_is_accepted() {
    let text = |seconds: i64| seconds.to_string();
    let both = format!("[\"https://other.example\", \"{API}\"]");
    let one = format!("[\"{API}\"]");
    let table: &[(&str, Option<&str>)] = &[
        ("aud", Some(&both)),
        ("aud", Some(&one)),
        ("exp", Some(&text(NOW - 29))),
        ("exp", Some("4000000300.75")),
        ("exp", Some("4.0000003e9")),
        ("exp", Some("4e18")),
        ("exp", Some("1e300")),
        ("exp", Some("18446744073709551615")),
        ("nbf", Some(&text(NOW + 30))),
        ("nbf", Some("4000000000.5")),
        ("nbf", Some("-1e300")),
        ("nbf", Some("0")),
        ("nbf", None),
        ("iat", Some("4000000000.5")),
        ("scope", None),
        ("scope", Some(r#""""#)),
        ("scope", Some(r#""orders:write  orders:read""#)),
        ("ip_allowlist", None),
        ("ip_allowlist", Some("[]")),
        ("ip_allowlist", Some(r#"["10.1.2.3/8", "10.0.0.0/8"]"#)),
        ("org", None),
        ("project", None),
        ("env", None),
        ("gen", None),
        ("unheard_of", Some(r#"{"deep":[1,2,{"deeper":null}]}"#)),
    ];
    for party in PARTIES.iter() {
        for (name, value) in table {
            let name_and_value = format!("{name}={}", value.unwrap_or("(none)"));
            let accepted = party.accepts(&name_and_value, &with(party, name, *value));
            assert_eq!(claims_of(accepted).get(name).is_some(), value.is_some(), "{name_and_value}");
        }
    }
}

#[test]
fn claims_that_are_no_json_object_with_each_member_once_are_refused() {
    let good = good_claims();
    let twice = |name: &str, value: &str| {
        let all = edited(&good, name, Some(value));
        all.replacen('{', &format!("{{{}:{value},", json!(name)), 1)
    };
    let mut invalid_utf8 = good.to_string().into_bytes();
    let at = invalid_utf8.windows(7).position(|w| w == b"billing").unwrap();
    invalid_utf8[at] = 0xff;
    let payloads: Vec<(&str, Vec<u8>)> = vec![
        ("1e400 for exp", edited(&good, "exp", Some("1e400")).into()),
        ("1e400 below an unheard-of claim", edited(&good, "x", Some("[1e400]")).into()),
        ("a duplicate of the same value", twice("sub", "\"billing\"").into()),
        (
            "a duplicate of another value",
            good.to_string().replacen('{', r#"{"aud":"https://other.example","#, 1).into(),
        ),
        ("a duplicate spelled with an escape", good.to_string().replacen('{', r#"{"\u0065xp":1,"#, 1).into()),
        ("a duplicate below", edited(&good, "x", Some(r#"{"a":1,"a":1}"#)).into()),
        ("a duplicate below an array", edited(&good, "x", Some(r#"[{"a":{"b":1,"b":2}}]"#)).into()),
        ("no JSON", b"orders:read".to_vec()),
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("a string", json!(good.to_string()).to_string().into()),
        ("an array", json!([good]).to_string().into()),
        ("an empty array", b"[]".to_vec()),
        ("something after it", format!("{good}{good}").into()),
        ("a comma too many", good.to_string().replace('}', ",}").into()),
        ("a byte order mark before it", format!("\u{feff}{good}").into()),
        ("invalid UTF-8", invalid_utf8),
        ("UTF-16", good.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a lone surrogate", edited(&good, "sub", Some(r#""\ud800""#)).into()),
        ("a thousand arrays", edited(&good, "x", Some(&("[".repeat(1000) + &"]".repeat(1000)))).into()),
    ];
    for party in PARTIES.iter() {
        for (name, payload) in &payloads {
            let forged = party.sign(party.header().to_string(), payload);
            party.refuses(name, &forged, JwsError::BadClaims);
        }
    }
}

#[test]
fn the_empty_object_lacks_what_is_required() {
    for party in PARTIES.iter() {
        let token = party.sign(party.header().to_string(), "{}");
        let refused = party.verifier().verify(&token).map(claims_of).unwrap_err();
        assert!(matches!(&refused, TokenError::Invalid(text) if text.contains("claim is missing")), "{refused:?}");
    }
}
