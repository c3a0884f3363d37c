use super::*;

#[test]
fn what_kubernetes_takes() {
    let cases = [
        ("1", 1, 1000),
        ("100m", 1, 100),
        ("1.5", 2, 1500),
        ("64Mi", 64 << 20, (64 << 20) * 1000),
        ("1e3", 1000, 1_000_000),
        ("1E3", 1000, 1_000_000),
        ("2k", 2000, 2_000_000),
        ("0.5Gi", 1 << 29, (1 << 29) * 1000),
        ("1n", 1, 1),
        (".5", 1, 500),
        ("-1", -1, -1000),
        ("0", 0, 0),
    ];
    for (text, whole, thousandths) in cases {
        let q = Quantity(text.to_owned());
        assert_eq!((units(&q), milli(&q)), (Some(whole), Some(thousandths)), "{text}");
    }
    for text in ["", "x", "1x", "1.2.3", "1e99", "Mi", "--1", "99999999999999999999Ei"] {
        assert_eq!(units(&Quantity(text.to_owned())), None, "{text}");
    }
    let mebi = Quantity("1Mi".into());
    assert_eq!(divided(&Quantity("100M".into()), &mebi), Some(96));
    assert_eq!(divided(&Quantity("250m".into()), &Quantity("1m".into())), Some(250));
}
