//! A Swagger 2.0 document as protobuf: the messages of gnostic's `OpenAPIv2.proto`, written by field number.

use serde_json::{Map, Value};

/// Encodes a document. What has no place in the messages is left out.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, &document["swagger"]);
    message.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    message.message(8, |paths| {
        for (path, item) in fields(&document["paths"]) {
            paths.named(2, path, |message| path_item(message, item));
        }
    });
    message.message(9, |definitions| {
        for (name, definition) in fields(&document["definitions"]) {
            definitions.named(1, name, |message| schema(message, definition));
        }
    });
    message.message(13, |definitions| {
        for (name, definition) in fields(&document["securityDefinitions"]) {
            definitions.named(1, name, |item| {
                item.message(2, |key| {
                    key.text(1, &definition["type"]);
                    key.text(2, &definition["name"]);
                    key.text(3, &definition["in"]);
                });
            });
        }
    });
    message.0
}

fn path_item(message: &mut Message, item: &Value) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(described) = item.get(method) {
            message.message(number, |message| operation(message, described));
        }
    }
    for parameter in list(&item["parameters"]) {
        message.message(9, |item| parameter_item(item, parameter));
    }
}

fn operation(message: &mut Message, described: &Value) {
    message.texts(1, &described["tags"]);
    message.text(3, &described["description"]);
    message.text(5, &described["operationId"]);
    message.texts(6, &described["produces"]);
    message.texts(7, &described["consumes"]);
    for parameter in list(&described["parameters"]) {
        message.message(8, |item| parameter_item(item, parameter));
    }
    message.message(9, |responses| {
        for (code, response) in fields(&described["responses"]) {
            responses.named(1, code, |value| {
                value.message(1, |message| {
                    message.text(1, &response["description"]);
                    if let Some(of) = response.get("schema") {
                        message.message(2, |item| item.message(1, |message| schema(message, of)));
                    }
                });
            });
        }
    });
    message.texts(10, &described["schemes"]);
    message.extensions(13, described);
}

/// A `ParametersItem`: in the body, in the query or in the path.
fn parameter_item(item: &mut Message, parameter: &Value) {
    item.message(1, |message| {
        if parameter["in"] == "body" {
            message.message(1, |body| {
                body.text(2, &parameter["name"]);
                body.text(3, &parameter["in"]);
                body.flag(4, &parameter["required"]);
                body.message(5, |message| schema(message, &parameter["schema"]));
            });
            return;
        }
        let (number, of_type, unique) = if parameter["in"] == "path" { (4, 5, 19) } else { (3, 6, 20) };
        message.message(2, |other| {
            other.message(number, |message| {
                message.flag(1, &parameter["required"]);
                message.text(2, &parameter["in"]);
                message.text(3, &parameter["description"]);
                message.text(4, &parameter["name"]);
                message.text(of_type, &parameter["type"]);
                message.flag(unique, &parameter["uniqueItems"]);
            });
        });
    });
}

fn schema(message: &mut Message, of: &Value) {
    message.text(1, &of["$ref"]);
    message.text(2, &of["format"]);
    message.text(4, &of["description"]);
    message.texts(19, &of["required"]);
    if let Some(values) = of.get("additionalProperties") {
        message.message(21, |item| item.message(1, |message| schema(message, values)));
    }
    if let Some(Value::String(of_type)) = of.get("type") {
        message.message(22, |item| item.bytes(1, of_type.as_bytes()));
    }
    if let Some(items) = of.get("items") {
        message.message(23, |item| item.message(1, |message| schema(message, items)));
    }
    if of.get("properties").is_some() {
        message.message(25, |properties| {
            for (name, property) in fields(&of["properties"]) {
                properties.named(1, name, |message| schema(message, property));
            }
        });
    }
    message.extensions(31, of);
}

fn fields(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flat_map(Map::iter)
}

fn list(of: &Value) -> &[Value] {
    of.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
            number >>= 7;
        }
        self.0.push(u8::try_from(number).unwrap_or_default());
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(u64::try_from(bytes.len()).unwrap_or_default());
        self.0.extend(bytes);
    }

    fn message(&mut self, number: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// A pair of a name and a message, which is how maps are written.
    fn named(&mut self, number: u64, name: &str, write: impl FnOnce(&mut Self)) {
        self.message(number, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, write);
        });
    }

    fn text(&mut self, number: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u64, values: &Value) {
        for value in list(values) {
            self.text(number, value);
        }
    }

    fn flag(&mut self, number: u64, value: &Value) {
        if value == true {
            self.varint(number << 3);
            self.varint(1);
        }
    }

    /// What begins with `x-`, each as YAML, of which JSON is a part.
    fn extensions(&mut self, number: u64, of: &Value) {
        for (name, value) in fields(of).filter(|(name, _)| name.starts_with("x-")) {
            self.named(number, name, |any| any.bytes(2, format!("{value}\n").as_bytes()));
        }
    }
}
