use http::HeaderValue;

use super::*;

fn accepting(accept: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
}

#[test]
fn the_best_form_that_is_offered_is_chosen() {
    let cases = [
        ("", Encoding::Json, Form::Whole),
        ("*/*", Encoding::Json, Form::Whole),
        ("application/json", Encoding::Json, Form::Whole),
        ("application/yaml", Encoding::Yaml, Form::Whole),
        ("application/vnd.kubernetes.protobuf,application/json", Encoding::Protobuf, Form::Whole),
        ("application/vnd.kubernetes.protobuf;stream=watch", Encoding::Protobuf, Form::Whole),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            Encoding::Protobuf,
            Form::Metadata,
        ),
        (
            "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1",
            Encoding::Json,
            Form::Table,
        ),
        ("application/yaml;stream=watch,application/json", Encoding::Json, Form::Whole),
        ("application/cbor,application/json;q=0.9", Encoding::Json, Form::Whole),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Encoding::Json, Form::Table),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Encoding::Json, Form::Whole),
        ("application/json;q=0.5, application/yaml;q=0.9", Encoding::Yaml, Form::Whole),
        ("application/json;q=0, application/yaml", Encoding::Yaml, Form::Whole),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Encoding::Json, Form::Metadata),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Encoding::Json, Form::MetadataList),
        ("application/json;stream=watch", Encoding::Json, Form::Whole),
    ];
    for (accept, encoding, form) in cases {
        assert_eq!(object(&accepting(accept)), Ok(Accepted { encoding, form }), "{accept}");
    }
}

#[test]
fn what_is_not_offered_is_refused() {
    let table = "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1";
    for accept in
        ["text/html", "application/cbor", table, "application/json;stream=x", "application/json;as=Nothing;g=x;v=v1"]
    {
        assert_eq!(object(&accepting(accept)).unwrap_err().code, 406, "{accept}");
    }
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    assert!(object(&accepting(aggregated)).is_err());
    assert_eq!(discovery(&accepting(aggregated)).map(|a| a.form), Ok(Form::AggregatedDiscovery));
}

#[test]
fn a_refusal_is_written_as_the_client_likes_it_or_as_json() {
    let cases = [
        ("", Encoding::Json),
        ("application/vnd.kubernetes.protobuf", Encoding::Protobuf),
        ("application/vnd.kubernetes.protobuf,application/json", Encoding::Protobuf),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/yaml", Encoding::Yaml),
        ("text/html", Encoding::Json),
    ];
    for (accept, encoding) in cases {
        assert_eq!(refusal(&accepting(accept)), encoding, "{accept}");
    }
}
