//! Expected values are the answers of Kubernetes' own parsers to the same texts.

use super::*;

fn label(text: &str) -> LabelSelector {
    LabelSelector::parse(text).expect(text)
}

fn field(text: &str) -> FieldSelector {
    FieldSelector::parse(text).expect(text)
}

fn lookup<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
    move |key| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
}

#[test]
fn label_selectors_match() {
    let labels = [("app", "a"), ("n", "5"), ("empty", ""), ("in", "in")];
    let cases = [
        ("", true),
        ("app", true),
        ("!app", false),
        ("!b", true),
        ("app=a", true),
        ("app==b", false),
        ("app!=b", true),
        ("b!=x", true),
        ("app in (x, a)", true),
        ("app in (x,y)", false),
        ("app notin (x,y)", true),
        ("b notin (x)", true),
        ("b in (x)", false),
        ("n>4", true),
        ("n>5", false),
        ("n<6", true),
        ("app>1", false),
        ("b<1", false),
        ("empty=", true),
        ("empty in ()", true),
        ("empty in (x,)", true),
        ("in=in", true),
        ("in in (in,notin)", true),
        ("app=a,n=5,!b", true),
        ("app=a,n=6", false),
    ];
    for (text, matches) in cases {
        assert_eq!(label(text).matches(lookup(&labels)), matches, "{text}");
    }
    assert!(label("").is_everything() && !label("a").is_everything());
}

#[test]
fn label_selectors_are_printed_in_canonical_form() {
    let cases = [
        ("b=1,a=1,c in (z,y,x)", "a=1,b=1,c in (x,y,z)"),
        ("  a  =  b ,  c", "a=b,c"),
        ("a in (,,b)", "a in (,b)"),
        ("a in (b,b)", "a in (b)"),
        ("!a in (b)", "error"),
        ("x notin (c,b),!y", "x notin (b,c),!y"),
        ("a>1,a<5", "a>1,a<5"),
        ("a==b", "a==b"),
    ];
    for (text, printed) in cases {
        assert_eq!(LabelSelector::parse(text).map_or("error".to_owned(), |s| s.to_string()), printed, "{text}");
    }
}

#[test]
fn label_selectors_are_refused_in_kubernetes_words() {
    let key = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
               character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let bad_key = format!("unable to parse requirement: <nil>: Invalid value: \"-a\": {key}");
    let bad_value = format!("unable to parse requirement: values[0][a]: Invalid value: \"-b\": {value}");
    let cases = [
        ("app in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a b=c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (!b)", "unable to parse requirement: found '!', expected: ',', ')' or identifier"),
        ("a in (b,!)", "unable to parse requirement: found '!', expected: ',', or identifier"),
        ("a=!b", "unable to parse requirement: found '!', expected: identifier"),
        ("a,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("-a", &bad_key),
        ("a=-b", &bad_value),
    ];
    for (text, message) in cases {
        assert_eq!(LabelSelector::parse(text).expect_err(text).to_string(), message, "{text}");
    }
}

#[test]
fn field_selectors_match() {
    let fields = [("metadata.name", "a"), ("status.phase", "Running"), ("x", "a,b=c\\d")];
    let cases = [
        ("", true),
        ("metadata.name=a", true),
        ("metadata.name==b", false),
        ("status.phase!=Running", false),
        ("metadata.name=a,status.phase!=Pending", true),
        ("y=", true),
        ("y!=", false),
        ("x=a\\,b\\=c\\\\d", true),
        (",", true),
        ("=", true),
    ];
    for (text, matches) in cases {
        assert_eq!(field(text).matches(lookup(&fields)), matches, "{text}");
    }
    assert_eq!(field("metadata.name=a").exact("metadata.name"), Some("a"));
    assert_eq!(field("metadata.name!=a").exact("metadata.name"), None);
    assert!(field("=").is_everything());
    assert_eq!(field("z=1,a=x\\,y").to_string(), "a=x\\,y,z=1");
}

#[test]
fn field_selectors_are_refused_in_kubernetes_words() {
    let cases = [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("b=1,a", "invalid selector: 'b=1,a'; can't understand 'a'"),
        ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ];
    for (text, message) in cases {
        assert_eq!(FieldSelector::parse(text).expect_err(text).to_string(), message);
    }
    let unsupported = field("spec.foo=1").of_fields(&["spec.type"]).expect_err("not known");
    assert_eq!(unsupported.to_string(), "field label not supported: spec.foo");
    let unknown = field("spec.foo=1").of_fields(&[]).expect_err("not known");
    assert_eq!(
        unknown.to_string(),
        "\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
    assert!(field("spec.type=x,metadata.namespace=y").of_fields(&["spec.type"]).is_ok());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(text in r"([a-c]| |,|!|=|==|!=|in|notin|\(|\)|<|>|1){0,12}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let printed = selector.to_string();
                prop_assert_eq!(LabelSelector::parse(&printed), Ok(selector), "{}", printed);
            }
        }

        #[test]
        fn what_is_printed_of_fields_is_read_again(text in r"([a-c]| |,|!|=|==|!=|\\|\.){0,12}") {
            if let Ok(selector) = FieldSelector::parse(&text) {
                let printed = selector.to_string();
                prop_assert_eq!(FieldSelector::parse(&printed), Ok(selector), "{}", printed);
            }
        }

        #[test]
        fn any_text_is_answered(text in ".{0,60}") {
            let _ = (LabelSelector::parse(&text), FieldSelector::parse(&text));
        }
    }
}
