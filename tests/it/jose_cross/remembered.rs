//! Verified tokens are remembered; what can change while one lives must not be.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mintage::clock::{ManualClock, UnixTime};
use mintage::jose::claims::ClaimError;
use mintage::jose::{Algorithm, JwsError, KeySet};
use mintage::resource::{KeySource, RevocationSource, TokenError, Verifier};
use serde_json::json;

use super::{API, ISSUER, NOW, claims_of, edited, good_claims, party};

/// What is revoked, by `kid`, `jti` and `gen` alike.
#[derive(Debug, Default)]
struct Revocations(Mutex<HashSet<String>>);

impl Revocations {
    fn revoke(&self, name: &str) {
        self.0.lock().unwrap().insert(name.to_owned());
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.0.lock().unwrap().contains(&format!("{kind} {name}"))
    }
}

impl RevocationSource for Revocations {
    fn key_is_revoked(&self, kid: &str) -> bool {
        self.has("kid", kid)
    }

    fn token_is_revoked(&self, token_id: &str, generation: Option<&str>) -> bool {
        self.has("jti", token_id) || generation.is_some_and(|generation| self.has("gen", generation))
    }
}

#[derive(Debug)]
struct Published(Mutex<KeySet>);

impl KeySource for Published {
    fn keys(&self) -> KeySet {
        self.0.lock().unwrap().clone()
    }
}

struct World {
    clock: Arc<ManualClock>,
    revocations: Arc<Revocations>,
    published: Arc<Published>,
    verifier: Verifier,
}

impl World {
    fn new(cache_capacity: u64) -> Self {
        let clock = Arc::new(ManualClock::new(UnixTime::from_seconds(NOW)));
        let revocations = Arc::new(Revocations::default());
        let published = Arc::new(Published(Mutex::new(party(Algorithm::ES256).key_set())));
        let verifier = Verifier::builder(ISSUER, API, Arc::clone(&published) as Arc<dyn KeySource>)
            .clock(Arc::clone(&clock) as Arc<_>)
            .revocations(Arc::clone(&revocations) as Arc<_>)
            .cache_capacity(cache_capacity)
            .build();
        Self { clock, revocations, published, verifier }
    }

    fn publish(&self, keys: KeySet) {
        *self.published.0.lock().unwrap() = keys;
    }

    fn verdict(&self, token: &str) -> Result<(), TokenError> {
        self.verifier.verify(token).map(|accepted| assert_eq!(claims_of(accepted), good_claims()))
    }
}

/// The same story with a memory and without one, so that it can only differ in speed.
fn in_both_worlds(story: impl Fn(&World, &str)) {
    for cache_capacity in [10_000, 0] {
        let world = World::new(cache_capacity);
        let token = party(Algorithm::ES256).twin();
        assert_eq!(world.verdict(&token), Ok(()));
        assert_eq!(world.verdict(&token), Ok(()), "from memory, if there is one");
        story(&world, &token);
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_remembered_token_expires_to_the_second() {
    in_both_worlds(|world, token| {
        world.clock.advance(seconds(329));
        assert_eq!(world.verdict(token), Ok(()), "within the leeway");
        world.clock.advance(seconds(1));
        let expired = Err(TokenError::Expired(UnixTime::from_seconds(NOW + 300)));
        assert_eq!(world.verdict(token), expired);
        assert_eq!(world.verdict(token), expired, "it stays dead");
    });
}

#[test]
fn a_remembered_token_is_revoked_by_its_id_its_generation_and_its_key() {
    let kid = &party(Algorithm::ES256).kid;
    for name in ["jti AAAAAAAAAAAAAAAAAAAAAA", "gen BBBBBBBBBBBBBBBBBBBBBB", &format!("kid {kid}")] {
        in_both_worlds(|world, token| {
            // Neither of another kind's namesake, nor of another token.
            for other in
                [kid, "AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB", "jti other", "gen other", "kid other"]
            {
                world.revocations.revoke(other);
            }
            assert_eq!(world.verdict(token), Ok(()));
            world.revocations.revoke(name);
            assert_eq!(world.verdict(token), Err(TokenError::Revoked), "{name}");
        });
    }
}

#[test]
fn a_revoked_token_is_refused_at_first_sight_too() {
    let party = party(Algorithm::ES256);
    for name in ["jti AAAAAAAAAAAAAAAAAAAAAA", "gen BBBBBBBBBBBBBBBBBBBBBB", &format!("kid {}", party.kid)] {
        let world = World::new(10_000);
        world.revocations.revoke(name);
        for _ in 0..2 {
            assert_eq!(world.verdict(&party.twin()), Err(TokenError::Revoked), "{name}");
        }
    }
}

#[test]
fn a_remembered_token_ends_with_its_key_and_comes_back_with_it() {
    let es256 = party(Algorithm::ES256);
    let others = || KeySet::from_keys([("another".to_owned(), &es256.public, Algorithm::ES256)]);
    for without in [KeySet::default(), others()] {
        in_both_worlds(|world, token| {
            world.publish(without.clone());
            assert_eq!(world.verdict(token), Err(JwsError::UnknownKey.into()));
            world.publish(es256.key_set());
            assert_eq!(world.verdict(token), Ok(()));
        });
    }
}

#[test]
fn a_refusal_is_not_remembered() {
    let es256 = party(Algorithm::ES256);
    let world = World::new(10_000);
    world.publish(KeySet::default());
    assert_eq!(world.verdict(&es256.twin()), Err(JwsError::UnknownKey.into()));
    world.publish(es256.key_set());
    assert_eq!(world.verdict(&es256.twin()), Ok(()));

    let early = es256.sign(es256.header().to_string(), edited(&good_claims(), "nbf", Some(&(NOW + 100).to_string())));
    let not_yet = ClaimError::NotYetValid(UnixTime::from_seconds(NOW + 100));
    assert_eq!(world.verifier.verify(&early).map(claims_of), Err(not_yet.into()));
    world.clock.advance(seconds(70));
    assert_eq!(world.verifier.verify(&early).map(|t| claims_of(t)["nbf"].clone()), Ok(json!(NOW + 100)));
}

#[test]
fn a_neighbour_of_a_remembered_token_is_verified_for_itself() {
    in_both_worlds(|world, token| {
        let at = token.rfind('.').unwrap() + 1;
        let mut neighbour = token.to_owned();
        let other = if token[at..].starts_with('A') { "B" } else { "A" };
        neighbour.replace_range(at..=at, other);
        assert_eq!(world.verdict(&neighbour), Err(JwsError::BadSignature.into()));
        assert_eq!(world.verdict(token), Ok(()));
    });
}
