//! Transactions and readers: whatever executes statements, each under a limit of time.

use crate::patience::Patience;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Any, AnyPool, Describe, Either, Error, Execute, Executor, SqlStr, Transaction};
use std::ops::{Deref, DerefMut};

/// A transaction; dropped without commit it changes nothing.
#[derive(Debug)]
pub struct Tx(TxConnection);

impl Tx {
    pub(crate) fn new(inner: Transaction<'static, Any>, patience: Patience) -> Self {
        Self(TxConnection { inner, patience })
    }

    pub(crate) fn into_inner(self) -> Transaction<'static, Any> {
        self.0.inner
    }
}

/// The connection of a transaction.
#[derive(Debug)]
pub struct TxConnection {
    inner: Transaction<'static, Any>,
    patience: Patience,
}

impl TxConnection {
    pub(crate) fn backend_name(&self) -> &str {
        self.inner.backend_name()
    }
}

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
    pub(crate) patience: Patience,
}

/// Passes each call on to an executor, under a limit.
macro_rules! patient {
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
                $self.patience.stream($inner.fetch_many(query))
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                $self,
                query: E,
            ) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
            where
                $lifetime: 'e,
                E: 'q + Execute<'q, Any>,
            {
                $self.patience.future($inner.fetch_optional(query))
            }

            fn prepare_with<'e>(
                $self,
                sql: SqlStr,
                parameters: &'e [AnyTypeInfo],
            ) -> BoxFuture<'e, Result<AnyStatement, Error>>
            where
                $lifetime: 'e,
            {
                $self.patience.future($inner.prepare_with(sql, parameters))
            }

            fn describe<'e>($self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
            where
                $lifetime: 'e,
            {
                $self.patience.future($inner.describe(sql))
            }
        }
    };
}

patient!('c, &'c mut TxConnection, |self| (&mut *self.inner));
patient!('s, Reader<'s>, |self| self.pool);
