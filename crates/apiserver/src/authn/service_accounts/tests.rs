use super::*;

#[test]
fn a_token_that_is_remembered_ends_too() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let tokens = ServiceAccountTokens::new(&key).unwrap();
    let account = Bound { name: "web".to_owned(), uid: "u".to_owned() };
    let grant = Grant::of_account("default", account, vec![ISSUER.to_owned()]);
    let now = clock::now_seconds();
    let token = tokens.issue(grant, now, 600).unwrap();
    assert_eq!(tokens.claims(&token, now).unwrap().sub, "system:serviceaccount:default:web");
    assert_eq!(tokens.signed.lock().len(), 1);
    assert!(tokens.claims(&token, now + 600).is_ok());
    assert_eq!(tokens.claims(&token, now + 661).unwrap_err(), Invalid::Expired);
    assert!(tokens.signed.lock().is_empty(), "it is not remembered for ever");
    let (head, tail) = token.rsplit_once('.').unwrap();
    assert_eq!(tokens.claims(&format!("{head}.x{tail}"), now).unwrap_err(), Invalid::Unknown);
    assert!(tokens.signed.lock().is_empty(), "what is not good is not remembered");
}
