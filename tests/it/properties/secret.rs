//! Client secrets: a scanner can tell a real one from anything else.

use mintage::crypto::entropy::SeededEntropy;
use mintage::secret::{ClientSecret, Environment};
use proptest::prelude::*;

fn generate(seed: u64, live: bool) -> String {
    let environment = if live { Environment::Live } else { Environment::Test };
    ClientSecret::generate(environment, &SeededEntropy::new(seed)).unwrap().reveal().to_owned()
}

fn is_well_formed(text: &str) -> bool {
    ClientSecret::from(text.to_owned()).is_well_formed()
}

proptest! {
    #![proptest_config(super::cases(512))]

    #[test]
    fn generated_secrets_are_well_formed(seed: u64, live: bool) {
        let secret = generate(seed, live);
        let random = secret.strip_prefix(if live { "mtg_cs_live_" } else { "mtg_cs_test_" }).unwrap();
        prop_assert_eq!(random.len(), 43 + 6);
        prop_assert!(random.bytes().all(|b| b.is_ascii_alphanumeric()));
        prop_assert!(is_well_formed(&secret));

        let masked = ClientSecret::from(secret.clone()).masked_prefix();
        prop_assert_eq!(masked, format!("{}…", &secret[..16]), "four of its characters tell it apart, no more");
    }

    #[test]
    fn a_single_change_is_seen(seed: u64, live: bool, at: prop::sample::Index, to in prop_oneof![
        8 => (0x20..=0x7eu8).prop_map(char::from),
        1 => any::<char>(),
    ]) {
        let secret = generate(seed, live);
        let at = at.index(secret.len());
        let put = |from: usize| format!("{}{to}{}", &secret[..at], &secret[from..]);
        prop_assert_eq!(is_well_formed(&put(at + 1)), secret[at..].starts_with(to), "{} replaced", at);
        prop_assert!(!is_well_formed(&put(at)), "{} inserted", at);
        prop_assert!(!is_well_formed(&(secret[..at].to_owned() + &secret[at + 1..])), "{} removed", at);
        prop_assert!(!is_well_formed(&secret[..at]), "cut at {}", at);
        prop_assert!(!is_well_formed(&(secret + &to.to_string())), "one more");
    }

    #[test]
    fn two_neighbours_in_the_wrong_order_are_seen(seed: u64, live: bool, at: prop::sample::Index) {
        let mut secret = generate(seed, live).into_bytes();
        let at = at.index(secret.len() - 1);
        prop_assume!(secret[at] != secret[at + 1]);
        secret.swap(at, at + 1);
        prop_assert!(!is_well_formed(&String::from_utf8(secret).unwrap()));
    }

    #[test]
    fn other_text_is_never_a_secret_and_is_not_shown(text: String, live: bool) {
        prop_assert!(!is_well_formed(&text));
        // People's own secrets have no fixed part that could be shown.
        prop_assert_eq!(ClientSecret::from(text.clone()).masked_prefix(), "…");
        let prefixed = format!("mtg_cs_{}_{text}", if live { "live" } else { "test" });
        prop_assert!(!is_well_formed(&prefixed));
        prop_assert!(ClientSecret::from(prefixed).masked_prefix().chars().count() <= 12 + 4 + 1);
    }

    #[test]
    fn the_environment_is_part_of_what_is_checked(seed: u64) {
        let (live, test) = (generate(seed, true), generate(seed, false));
        prop_assert_eq!(&live[12..55], &test[12..55], "the same random part");
        prop_assert!(!is_well_formed(&live.replacen("live", "test", 1)));
        prop_assert!(!is_well_formed(&test.replacen("test", "live", 1)));
    }

    #[test]
    fn a_hash_matches_its_own_secret_alone(one in any::<String>(), other in any::<String>()) {
        let hash = |text: &str| ClientSecret::from(text.to_owned()).hash();
        prop_assert!(hash(&one).matches(&hash(&one)));
        prop_assert_eq!(hash(&one).matches(&hash(&other)), one == other);
        let kept = serde_json::to_string(&hash(&one)).unwrap();
        let read: mintage::secret::SecretHash = serde_json::from_str(&kept).unwrap();
        prop_assert!(read.matches(&hash(&one)));
        let shown = format!("{:?} {:?}", ClientSecret::from(one.clone()), hash(&one));
        prop_assert_eq!(shown, "ClientSecret(redacted) SecretHash(redacted)");
    }
}
