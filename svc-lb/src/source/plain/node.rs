//! Values that were read, to be had as any type.

use super::Token;
use serde::{
    Deserializer,
    de::{
        DeserializeSeed, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, Error},
    },
    forward_to_deserialize_any,
};

/// A value.
#[derive(Clone, Copy, Debug)]
pub struct Node<'t, 'de> {
    /// Its token and those within it, and maybe others after them.
    tokens: &'t [Token<'de>],
}

impl<'t, 'de> Node<'t, 'de> {
    /// The value that these tokens start with.
    pub(super) fn new(tokens: &'t [Token<'de>]) -> Self {
        Self { tokens }
    }

    /// The value of a key.
    pub fn get(self, key: &str) -> Option<Self> {
        let Token::Mapping(length) = *self.tokens.first()? else { return None };
        find(&self.tokens[1..=length], key)
    }

    /// The text, if it is one.
    pub fn as_str(self) -> Option<&'de str> {
        let Token::Text(text) = *self.tokens.first()? else { return None };
        Some(text)
    }

    /// Whether a key is there of a mapping that is not complete yet.
    pub(super) fn is_there(self, key: &str) -> bool {
        find(&self.tokens[1..], key).is_some()
    }

    /// In how many tokens it is.
    fn size(self) -> usize {
        match self.tokens.first() {
            Some(Token::Mapping(length) | Token::List(length)) => 1 + length,
            _ => 1,
        }
    }
}

/// Finds the value of a key among keys and values.
fn find<'t, 'de>(mut entries: &'t [Token<'de>], key: &str) -> Option<Node<'t, 'de>> {
    while let [Token::Text(name), value @ ..] = entries {
        let value = Node::new(value);
        if *name == key {
            return Some(value);
        }
        entries = &value.tokens[value.size()..];
    }
    None
}

impl<'de> Deserializer<'de> for Node<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tokens.first() {
            Some(&Token::Mapping(length)) => visitor.visit_map(Rest(&self.tokens[1..=length])),
            Some(&Token::List(length)) => visitor.visit_seq(Rest(&self.tokens[1..=length])),
            Some(Token::Text(text)) => visitor.visit_borrowed_str(text),
            Some(Token::Number(number)) => visitor.visit_u64(*number),
            Some(Token::Bool(is)) => visitor.visit_bool(*is),
            Some(Token::Null) | None => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Some(Token::Null) = self.tokens.first() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What is left of a mapping or a list.
struct Rest<'t, 'de>(&'t [Token<'de>]);

impl<'t, 'de> Rest<'t, 'de> {
    fn take(&mut self) -> Node<'t, 'de> {
        let node = Node::new(self.0);
        self.0 = &self.0[node.size()..];
        node
    }
}

impl<'de> MapAccess<'de> for Rest<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let [Token::Text(key), rest @ ..] = self.0 else { return Ok(None) };
        self.0 = rest;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.take())
    }
}

impl<'de> SeqAccess<'de> for Rest<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.0.is_empty() { Ok(None) } else { seed.deserialize(self.take()).map(Some) }
    }
}
