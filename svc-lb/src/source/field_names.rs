//! Which field a misspelt one is likely meant to be.

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use std::{fmt, iter::once};

/// A step from a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the field of this name.
    Field(String),
    /// To an item of a list.
    Item,
}

/// The field of a type that the last of some steps resembles, where the steps before it lead.
pub fn resembling<T: DeserializeOwned>(steps: &[Step]) -> Option<&'static str> {
    let [parents @ .., Step::Field(name)] = steps else { return None };
    let Err(End::Fields(fields)) = T::deserialize(Walk(parents)) else { return None };
    let name = name.to_lowercase();
    let distances = fields.iter().map(|field| (strsim::osa_distance(&field.to_lowercase(), &name), *field));
    let (distance, field) = distances.min()?;
    (distance <= 1 + name.chars().count() / 5).then_some(field)
}

/// Takes the place of data: leads the code that would read a type along some steps, and ends where they
/// do, with the names of the fields that are looked for there.
struct Walk<'a>(&'a [Step]);

/// Where a [`Walk`] ends.
#[derive(Debug)]
enum End {
    /// At a type with these fields.
    Fields(&'static [&'static str]),
    /// Where the steps do not lead on, or the fields have no fixed names.
    Nowhere,
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = End;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, End> {
        if self.0.is_empty() { Err(End::Fields(fields)) } else { self.deserialize_map(visitor) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        let [Step::Field(name), rest @ ..] = self.0 else { return Err(End::Nowhere) };
        visitor.visit_map(MapDeserializer::new(once((name.as_str(), Walk(rest)))))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        let [Step::Item, rest @ ..] = self.0 else { return Err(End::Nowhere) };
        visitor.visit_seq(SeqDeserializer::new(once(Walk(rest))))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, End> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, End> {
        Err(End::Nowhere)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, End> for Walk<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for End {}

impl de::Error for End {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::Nowhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Pod, Service};

    fn steps(path: &str) -> Vec<Step> {
        let step = |step| if step == "[]" { Step::Item } else { Step::Field(String::from(step)) };
        path.split('.').map(step).collect()
    }

    #[test]
    fn a_misspelt_field_resembles_the_one_that_is_meant() {
        for (path, meant) in [
            ("spce", "spec"),
            ("spec.selectors", "selector"),
            ("spec.cluster_ip", "clusterIP"),
            ("spec.externalTraficPolicy", "externalTrafficPolicy"),
            ("spec.ports.[].nodeport", "nodePort"),
            ("metadata.anotations", "annotations"),
            ("spec.sessionAffinityConfig.clientIp", "clientIP"),
            ("status.loadBalancer.ingress.[].ipmode", "ipMode"),
        ] {
            assert_eq!(resembling::<Service>(&steps(path)), Some(meant), "{path}");
        }
        assert_eq!(resembling::<Pod>(&steps("spec.containers.[].readinessprobes")), Some("readinessProbe"));
    }

    #[test]
    fn what_resembles_nothing_or_is_nowhere_has_no_other_name() {
        for path in
            ["spec.weight", "spec.ports.[].x", "spec.ports.port", "nowhere.port", "spec.selector.app.b"]
        {
            assert_eq!(resembling::<Service>(&steps(path)), None, "{path}");
        }
        assert_eq!(resembling::<Service>(&[]), None);
        assert_eq!(resembling::<Service>(&[Step::Item]), None);
    }
}
