use super::*;

#[test]
fn references() {
    let known = |name: &str| match name {
        "A" => Some("1"),
        "EMPTY" => Some(""),
        "TRICK" => Some("$(A)"),
        _ => None,
    };
    let cases = [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(EMPTY)", ""),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(TRICK)", "$(A)"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$($(A))", "$($(A))"),
        ("naïve $(A)", "naïve 1"),
    ];
    for (text, want) in cases {
        assert_eq!(expand(text, known), want, "{text}");
    }
}
