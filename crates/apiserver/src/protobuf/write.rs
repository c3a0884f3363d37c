//! From documents to messages, in one pass over the JSON text: nothing is built in between.
//!
//! Only what stands in the document is written. (Kubernetes also writes the empty values of fields that have no
//! pointers; a reader cannot tell the two apart.) Fields come in the order of the text, which every reader takes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kinds::schema::Shape;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::plan::{self, Plan, Planned};

/// The wire type of whole numbers.
const VARINT: u64 = 0;
/// The wire type of eight bytes.
const FIXED64: u64 = 1;
/// The wire type of text, bytes and messages.
const LENGTH: u64 = 2;

/// Writes a number in as few groups of seven bits as it has.
pub(super) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn tag(out: &mut Vec<u8>, number: u32, wire: u64) {
    varint(out, u64::from(number) << 3 | wire);
}

/// Writes a field that holds bytes or text.
pub(super) fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    tag(out, number, LENGTH);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes the beginning of a field that holds a message of this length.
pub(super) fn head(out: &mut Vec<u8>, number: u32, length: u64) {
    tag(out, number, LENGTH);
    varint(out, length);
}

/// Writes a field that holds a message.
pub(super) fn message<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    tag(out, number, LENGTH);
    let at = out.len();
    // One byte is enough for the length of most messages; the others are moved when it is known.
    out.push(0);
    write(out)?;
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(5);
        varint(&mut prefix, length as u64);
        out.splice(at..=at, prefix);
    }
    Ok(())
}

fn number(out: &mut Vec<u8>, field: u32, number: i64) {
    tag(out, field, VARINT);
    // Negative numbers stand there as their two's complement.
    varint(out, number.cast_unsigned());
}

/// Writes the fields of the message that a JSON object is.
pub(super) struct Fields<'o> {
    pub plan: &'static Plan,
    pub out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(planned) = map.next_key_seed(Name(self.plan))? {
            match planned {
                Some(planned) => map.next_value_seed(Within { planned, depth: 0, out: self.out })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Finds the field that a name is of.
struct Name(&'static Plan);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Planned>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Planned>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// Writes a field within the messages around it, from `depth` on.
struct Within<'o> {
    planned: &'static Planned,
    depth: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let planned = self.planned;
        match planned.around.get(self.depth) {
            Some(around) => message(self.out, *around, |out| {
                Within { planned, depth: self.depth + 1, out }.deserialize(deserializer)
            }),
            None => Field { number: planned.number, shape: planned.shape, out: self.out }.deserialize(deserializer),
        }
    }
}

/// Writes a value as a field of this number; of a list, as many of them as it has elements.
struct Field<'o> {
    number: u32,
    shape: &'static Shape,
    out: &'o mut Vec<u8>,
}

impl Field<'_> {
    fn of<'o>(number: u32, shape: &'static Shape, out: &'o mut Vec<u8>) -> Field<'o> {
        Field { number, shape, out }
    }

    fn whole<E: Error>(self, whole: i64) -> Result<(), E> {
        match self.shape {
            Shape::Int32 | Shape::Int64 => number(self.out, self.number, whole),
            Shape::Double => return self.real(whole as f64),
            Shape::IntOrString => message(self.out, self.number, |out| {
                number(out, 1, 0);
                number(out, 2, whole);
                Ok(())
            })?,
            Shape::Quantity => return self.text(&whole.to_string()),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Signed(whole), &self)),
        }
        Ok(())
    }

    fn real<E: Error>(self, real: f64) -> Result<(), E> {
        match self.shape {
            Shape::Double => {
                tag(self.out, self.number, FIXED64);
                self.out.extend_from_slice(&real.to_le_bytes());
                Ok(())
            }
            Shape::Quantity => self.text(&real.to_string()),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(real), &self)),
        }
    }

    fn text<E: Error>(self, text: &str) -> Result<(), E> {
        match self.shape {
            Shape::String => bytes(self.out, self.number, text.as_bytes()),
            Shape::Bytes => bytes(self.out, self.number, &STANDARD.decode(text).map_err(E::custom)?),
            Shape::Quantity => message(self.out, self.number, |out| {
                bytes(out, 1, text.as_bytes());
                Ok(())
            })?,
            Shape::IntOrString => message(self.out, self.number, |out| {
                number(out, 1, 1);
                bytes(out, 3, text.as_bytes());
                Ok(())
            })?,
            Shape::Time | Shape::MicroTime => {
                let time: Timestamp = text.parse().map_err(E::custom)?;
                let micro = *self.shape == Shape::MicroTime;
                message(self.out, self.number, |out| {
                    number(out, 1, time.as_second());
                    number(out, 2, if micro { time.subsec_nanosecond().into() } else { 0 });
                    Ok(())
                })?;
            }
            _ => return Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if *self.shape != Shape::Any {
            return deserializer.deserialize_any(self);
        }
        // What nothing is known of is carried as its JSON.
        let json = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        if json == "null" {
            return Ok(());
        }
        message(self.out, self.number, |out| {
            bytes(out, 1, json.as_bytes());
            Ok(())
        })
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shape.go_name())
    }

    /// `null` is what is not there.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if *self.shape != Shape::Bool {
            return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self));
        }
        number(self.out, self.number, value.into());
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.whole(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.whole(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.real(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Shape::List(of) = self.shape else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        while list.next_element_seed(Field::of(self.number, of, self.out))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.shape {
            Shape::Object(of) => message(self.out, self.number, |out| {
                let plan = plan::of(of.get());
                Fields { plan, out }.visit_map(map)
            }),
            Shape::Map(of) => {
                while let Some(key) = map.next_key::<String>()? {
                    message(self.out, self.number, |out| {
                        bytes(out, 1, key.as_bytes());
                        map.next_value_seed(Entry(Field::of(2, of, out)))
                    })?;
                }
                Ok(())
            }
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }
}

/// Writes the value of a map's entry, where a list is a message with the elements as field 1.
struct Entry<'o>(Field<'o>);

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Field { number, shape, out } = self.0;
        match shape {
            Shape::List(_) => message(out, number, |out| Field::of(1, shape, out).deserialize(deserializer)),
            _ => Field::of(number, shape, out).deserialize(deserializer),
        }
    }
}
