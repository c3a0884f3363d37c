use super::*;

#[test]
fn canonical_forms() {
    let rows = [
        ("0", "0"),
        ("0Gi", "0"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("100m", "100m"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("512Ki", "512Ki"),
        ("1Ki", "1Ki"),
        ("1000Ki", "1000Ki"),
        ("0.5Ki", "512"),
        ("1.5Gi", "1536Mi"),
        ("0.1Gi", "107374182400m"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1E", "1E"),
        ("1000k", "1M"),
        ("1500k", "1500k"),
        ("-1", "-1"),
        ("+2", "2"),
        ("007", "7"),
        (".5", "500m"),
        ("5.", "5"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("9Ei", "9223372036854775807"),
        ("128974848", "128974848"),
    ];
    for (text, want) in rows {
        assert_eq!(Quantity::parse(text).unwrap().to_string(), want, "{text}");
    }
}

#[test]
fn refusals() {
    for (text, want) in [
        ("", QuantityError::Format),
        ("a", QuantityError::Format),
        ("1 Gi", QuantityError::Format),
        ("1.1.1", QuantityError::Format),
        ("1i", QuantityError::Suffix),
        ("1KiB", QuantityError::Format),
        ("1mm", QuantityError::Suffix),
        ("m", QuantityError::Numeric),
        (".", QuantityError::Numeric),
        ("-", QuantityError::Numeric),
    ] {
        assert_eq!(Quantity::parse(text).err(), Some(want), "{text}");
    }
}

#[test]
fn amounts() {
    let q = |text| Quantity::parse(text).unwrap();
    assert_eq!(q("1.5").units(), 2);
    assert_eq!(q("100m").millis(), 100);
    assert_eq!(q("1n").rounded_to_millis().to_string(), "1m");
    assert_eq!(q("1000m"), q("1"));
    assert_eq!(q("1Gi").plus(q("1Gi")).to_string(), "2Gi");
    assert_eq!(q("0").plus(q("1Gi")).to_string(), "1Gi");
    assert_eq!(Quantity::parse("1e99").unwrap().nanos(), i128::MAX);
}

#[test]
fn maps_are_put_into_canonical_form() {
    let mut resources = serde_json::json!({"cpu": 2, "memory": "1024Mi", "odd": "x"});
    canonicalize_resources(Some(&mut resources));
    assert_eq!(resources, serde_json::json!({"cpu": "2", "memory": "1Gi", "odd": "x"}));
}
