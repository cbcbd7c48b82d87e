"""The same for tests that are coroutines."""

from . import GenericTestProxyParametrize1, StorageRecordedTestCase

__all__ = ("AsyncStorageRecordedTestCase", "GenericTestProxyParametrize1")

AsyncStorageRecordedTestCase = StorageRecordedTestCase
