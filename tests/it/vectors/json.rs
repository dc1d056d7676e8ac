//! Nicolas Seriot's JSON parsing test suite (`jsontestsuite`) through the parser of headers and claims.

use mintage::jose::strict::parse_object;
use serde_json::Value;

use super::files;

/// The files whose names begin so: `y_` is JSON, `n_` is not, `i_` is left to the implementation.
fn suite(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = files("jsontestsuite/test_parsing");
    files.retain(|(name, _)| name.starts_with(prefix));
    files
}

/// Beneath a member, so that a text that is no object is judged by what it is, and not for being none.
fn wrapped(json: &[u8]) -> Vec<u8> {
    [&b"{\"v\":"[..], json, b"}"].concat()
}

#[test]
fn what_is_not_json_is_refused() {
    let suite = suite("n_");
    assert_eq!(suite.len(), 188);
    for (name, json) in suite {
        assert!(parse_object(&json).is_err(), "{name}");
        assert!(parse_object(&wrapped(&json)).is_err(), "{name}, as the value of a member");
    }
}

#[test]
fn what_is_json_is_read_as_serde_json_reads_it_unless_a_member_is_named_twice() {
    let suite = suite("y_");
    assert_eq!(suite.len(), 95);
    let (mut objects, mut others, mut twice) = (0, 0, 0);
    for (name, json) in suite {
        let value: Value = serde_json::from_slice(&json).unwrap_or_else(|why| panic!("{name}: {why}"));
        if name.contains("duplicated_key") {
            assert!(parse_object(&json).is_err(), "{name}");
            assert!(parse_object(&wrapped(&json)).is_err(), "{name}, as the value of a member");
            twice += 1;
            continue;
        }
        match &value {
            Value::Object(object) => {
                assert_eq!(&parse_object(&json).unwrap_or_else(|why| panic!("{name}: {why}")), object, "{name}");
                objects += 1;
            }
            _ => {
                assert!(parse_object(&json).is_err(), "{name} is no object");
                others += 1;
            }
        }
        let below = parse_object(&wrapped(&json)).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(below["v"], value, "{name}");
    }
    assert_eq!((objects, others, twice), (10, 83, 2));
}

#[test]
fn what_is_left_to_the_implementation_does_not_panic_and_is_never_read_in_two_ways() {
    let suite = suite("i_");
    assert_eq!(suite.len(), 35);
    for (name, json) in suite {
        for json in [wrapped(&json), json] {
            if let Ok(ours) = parse_object(&json) {
                assert_eq!(Value::Object(ours), serde_json::from_slice::<Value>(&json).unwrap(), "{name}");
            }
        }
    }
}

#[test]
fn a_member_named_twice_is_seen_however_deep_and_however_it_is_spelled() {
    for json in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"a":null}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"":1,"":1}"#,
        r#"{"a":{"b":1,"b":1}}"#,
        r#"{"a":[0,{"b":1,"c":{"d":1,"d":2}}]}"#,
    ] {
        assert!(parse_object(json.as_bytes()).is_err(), "{json}");
    }
    // Neither another case nor another depth is the same name.
    for json in [r#"{"a":1,"A":1}"#, r#"{"a":{"a":{"a":1}}}"#, r#"{"a":[{"b":1},{"b":1}]}"#] {
        assert!(parse_object(json.as_bytes()).is_ok(), "{json}");
    }
}

#[test]
fn a_refusal_never_repeats_what_it_refused() {
    for json in [r#"{"hunter2":1,"hunter2":1}"#, r#""hunter2""#, r#"{"a":hunter2}"#, r#"["hunter2"]"#] {
        let error = parse_object(json.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
