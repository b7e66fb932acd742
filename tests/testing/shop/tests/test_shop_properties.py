"""Hypothesis and the kit."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as hypothesis

from wrangler_py.testing import strategies as st

ADDRESSES = hypothesis.fixed_dictionaries({"to": hypothesis.text("abc", min_size=1, max_size=5)})


@given(batch=st.batches("mail", ADDRESSES), status=hypothesis.sampled_from([200, 400, 503]))
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_message_of_a_batch_has_one_end(wpy, batch, status):
    wpy.run(wpy.reset())
    wpy.http.on("POST", "https://smtp.example.com/send").respond(status)
    result = wpy.run(wpy.worker.queue(batch))
    ends = [*result.acked, *result.retried, *result.dead_lettered, *result.dropped]
    assert sorted(ends) == sorted(message.id for message in batch.messages)
    assert [message.body for message in result] == [message.body for message in batch.messages]
    if status == 200:
        assert len(result.acked) == len(batch.messages)
