//! Transactions and readers: whatever executes statements, each under a limit of time.

use crate::statement_limit::StatementLimit;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Any, AnyPool, Describe, Either, Error, Execute, Executor, SqlStr, Transaction};
use std::ops::{Deref, DerefMut};

/// A transaction; dropped without commit it changes nothing.
#[derive(Debug)]
pub struct Tx(TxConnection);

impl Tx {
    pub(crate) fn new(inner: Transaction<'static, Any>, limit: StatementLimit) -> Self {
        Self(TxConnection { inner, limit })
    }

    pub(crate) fn into_inner(self) -> Transaction<'static, Any> {
        self.0.inner
    }
}

/// The connection of a transaction: it executes statements.
#[derive(Debug)]
pub struct TxConnection {
    inner: Transaction<'static, Any>,
    limit: StatementLimit,
}

impl TxConnection {
    pub(crate) fn backend_name(&self) -> &str {
        self.inner.backend_name()
    }
}

/// So that `&mut **tx` executes a statement, under its limit.
impl Deref for Tx {
    type Target = TxConnection;

    fn deref(&self) -> &TxConnection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut TxConnection {
        &mut self.0
    }
}

/// The connections that only read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'s> {
    pub(crate) pool: &'s AnyPool,
    pub(crate) limit: StatementLimit,
}

/// Passes each call on to an executor, under a limit.
macro_rules! impl_executor {
    ($lifetime:lifetime, $executor:ty, |$self:ident| $inner:expr) => {
        impl<$lifetime> Executor<$lifetime> for $executor {
            type Database = Any;

            fn fetch_many<'e, 'q: 'e, E>(
                $self,
                query: E,
            ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
            where
                $lifetime: 'e,
                E: 'q + Execute<'q, Any>,
            {
                $self.limit.stream($inner.fetch_many(query))
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                $self,
                query: E,
            ) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
            where
                $lifetime: 'e,
                E: 'q + Execute<'q, Any>,
            {
                $self.limit.future($inner.fetch_optional(query))
            }

            fn prepare_with<'e>(
                $self,
                sql: SqlStr,
                parameters: &'e [AnyTypeInfo],
            ) -> BoxFuture<'e, Result<AnyStatement, Error>>
            where
                $lifetime: 'e,
            {
                $self.limit.future($inner.prepare_with(sql, parameters))
            }

            fn describe<'e>($self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
            where
                $lifetime: 'e,
            {
                $self.limit.future($inner.describe(sql))
            }
        }
    };
}

impl_executor!('c, &'c mut TxConnection, |self| (&mut *self.inner));
impl_executor!('s, Reader<'s>, |self| self.pool);
