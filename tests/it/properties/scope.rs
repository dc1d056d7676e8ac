//! Scopes (RFC 6749 §3.3).

use mintage::scope::{MAX_SCOPE_LENGTH, Scope, ScopeSet};
use proptest::collection::vec;
use proptest::prelude::*;

/// `scope-token` as the RFC's ABNF has it.
fn scope_token() -> impl Strategy<Value = String> {
    vec(prop_oneof![Just(0x21u8), 0x23..=0x5bu8, 0x5d..=0x7eu8], 1..=24)
        .prop_map(|bytes| String::from_utf8(bytes).unwrap())
}

/// Text that is near the grammar, so that both verdicts come often.
fn near_scopes() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        20 => prop_oneof![Just(0x21u8), 0x23..=0x5bu8, 0x5d..=0x7eu8].prop_map(char::from),
        4 => Just(' '),
        1 => prop_oneof![Just('"'), Just('\\'), Just('\t'), Just('\n'), Just('\u{7f}'), Just('\u{a0}'), any::<char>()],
    ];
    vec(character, 0..40).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(super::cases(512))]

    #[test]
    fn a_set_is_read_back_as_it_was_written(tokens in vec(scope_token(), 0..12)) {
        let set: ScopeSet = tokens.iter().map(|token| Scope::parse(token).unwrap()).collect();
        let written = set.to_string();
        prop_assert_eq!(ScopeSet::parse(&written).unwrap(), set.clone());
        // One spelling of a set: the same again, without doubles, in the order of the names.
        let mut names: Vec<_> = tokens.clone();
        names.sort();
        names.dedup();
        prop_assert_eq!(written, names.join(" "));
        let json = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(&json, &serde_json::to_string(&names).unwrap());
        prop_assert_eq!(serde_json::from_str::<ScopeSet>(&json).unwrap(), set);
    }

    #[test]
    fn order_doubles_and_extra_spaces_do_not_matter(
        (tokens, shuffled) in vec(scope_token(), 0..8).prop_flat_map(|t| (Just(t.clone()), Just(t).prop_shuffle())),
        spaces in 1..4usize,
    ) {
        let once = ScopeSet::parse(&tokens.join(" ")).unwrap();
        let again = [&shuffled[..], &tokens[..]].concat().join(&" ".repeat(spaces));
        prop_assert_eq!(&ScopeSet::parse(&format!(" {again} ")).unwrap(), &once);
        prop_assert!(tokens.iter().all(|token| once.contains(token)));
    }

    #[test]
    fn the_grammar_and_nothing_else_is_accepted(text in near_scopes()) {
        let in_grammar = text.chars().all(|c| matches!(c as u32, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        prop_assert_eq!(ScopeSet::parse(&text).is_ok(), in_grammar);
        let one = in_grammar && !text.is_empty() && !text.contains(' ');
        prop_assert_eq!(Scope::parse(&text).is_ok(), one);
        prop_assert_eq!(serde_json::from_value::<ScopeSet>(serde_json::json!([text])).is_ok(), one);
    }
}

#[test]
fn every_single_character_has_its_verdict() {
    for c in (0..=0x2ff).chain([0x3000, 0xfeff, 0xff01, 0x1f600]).filter_map(char::from_u32) {
        let good = matches!(c, '!' | '#'..='[' | ']'..='~');
        assert_eq!(Scope::parse(&c.to_string()).is_ok(), good, "{c:?}");
        assert_eq!(ScopeSet::parse(&format!("a{c}b")).is_ok(), good || c == ' ', "{c:?}");
    }
}

#[test]
fn a_scope_of_the_greatest_length_is_the_last() {
    let longest = "s".repeat(MAX_SCOPE_LENGTH);
    assert!(Scope::parse(&longest).is_ok());
    assert!(Scope::parse(&format!("{longest}s")).is_err());
    assert!(ScopeSet::parse(&format!("{longest} {longest}s")).is_err());
}
