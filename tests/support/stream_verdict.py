"""What windows and alerts must be, computed from the rows in the database, and what they are.

The rows are the undisturbed run: every acknowledged message once, with its time. Windows are compared as (series, window),
alerts as (rule, series, time of the raise), as the contract of delivery says.
"""
from millrace_dev.say import DevError
from millrace_lab import eventually

WINDOW_S = 60


def wait_until_closed(lab, timeout=400):
    """Until no window is open any more: the partitions are idle, so the clock closes the last ones."""
    def closed():
        return all(lab.metrics(name, "millrace_stream_open_windows") == 0 for name in stream_services(lab))
    eventually(closed, timeout, "the last windows to close", interval=1)


def stream_services(lab):
    return [service.name for service in lab.services() if service.description.name == "stream-processing"]


def settled(ask, right, timeout=60):
    """The answer of ask() once right(answer) holds, or the last one: results are on their way through Kafka for a moment."""
    answers = []

    def check():
        answers[:] = [ask()]
        return right(answers[0])
    try:
        eventually(check, timeout, "", interval=1)
    except DevError:
        pass
    return answers[0]


def _of(prefixes):
    """A condition on registry.device: the devices of these runs."""
    return "device LIKE ANY (ARRAY[" + ", ".join(f"'{prefix}-%'" for prefix in prefixes) + "])"


def window_faults(lab, prefixes):
    """Windows of the devices of these runs that are missing, too many, or have other figures than the rows say."""
    return lab.sql(f"""
        WITH device AS (SELECT device_key FROM registry.device WHERE {_of(prefixes)}),
        expected AS (
          SELECT s.device_id, s.metric, date_bin('{WINDOW_S} s', s.time, 'epoch') AS start, count(*) AS n, min(s.value) AS low,
                 max(s.value) AS high, avg(s.value) AS mean, (array_agg(s.value ORDER BY s.time DESC))[1] AS last
          FROM storage.point s WHERE s.device_id IN (SELECT device_key FROM device) AND s.value IS NOT NULL
          GROUP BY 1, 2, 3),
        found AS (
          SELECT DISTINCT ON (device_id, metric, start) device_id, metric, start, count AS n, min AS low, max AS high, mean, last
          FROM storage.window_result WHERE device_id IN (SELECT device_key FROM device) AND size_us = {WINDOW_S} * 1000000
          ORDER BY device_id, metric, start, revision DESC)
        SELECT d.device, coalesce(e.metric, f.metric), coalesce(e.start, f.start), e.n, f.n, e.mean, f.mean
        FROM expected e FULL JOIN found f USING (device_id, metric, start)
          JOIN registry.device d ON d.device_key = coalesce(e.device_id, f.device_id)
        WHERE e.n IS DISTINCT FROM f.n OR e.low IS DISTINCT FROM f.low OR e.high IS DISTINCT FROM f.high
           OR e.last IS DISTINCT FROM f.last OR abs(e.mean - f.mean) > 1e-9 * greatest(1, abs(e.mean))""")


def window_count(lab, prefixes):
    return int(lab.sql(f"""
        SELECT count(*) FROM storage.window_result w JOIN registry.device d ON d.device_key = w.device_id
        WHERE d.{_of(prefixes)}""")[0][0])


def expected_alerts(lab, prefixes, metric, raises, clears):
    """[(device, raised at us, cleared at us or None)] by the rule's two conditions, from the rows in time order."""
    rows = lab.sql(f"""
        SELECT d.device, (extract(epoch FROM s.time) * 1000000)::int8, s.value
        FROM storage.point s JOIN registry.device d ON d.device_key = s.device_id JOIN storage.metric m ON m.id = s.metric
        WHERE d.{_of(prefixes)} AND m.name = '{metric}' ORDER BY d.device, s.time""")
    alerts, open_at, device = [], None, None
    for name, time, value in [*rows, (None, None, None)]:
        if name != device:
            if open_at is not None:
                alerts.append((device, open_at, None))
            device, open_at = name, None
        if name is None:
            break
        if open_at is None and raises(float(value)):
            open_at = int(time)
        elif open_at is not None and clears(float(value)):
            alerts.append((device, open_at, int(time)))
            open_at = None
    return sorted(alerts, key=str)


def found_alerts(lab, prefixes, rule):
    """The same from the alerts that were stored: the latest event of each episode. Every raise must be there once."""
    rows = lab.sql(f"""
        SELECT device, (extract(epoch FROM raised_at) * 1000000)::int8, (extract(epoch FROM cleared_at) * 1000000)::int8
        FROM (SELECT DISTINCT ON (alert_id) * FROM storage.alert WHERE rule = '{rule}' AND {_of(prefixes)}
              ORDER BY alert_id, event_number DESC) AS latest""")
    return sorted([(device, int(raised), int(cleared) if cleared else None) for device, raised, cleared in rows], key=str)


def alert_event_faults(lab, rule):
    """Alert keys whose event numbers have a hole or whose states do not alternate."""
    return lab.sql(f"""
        SELECT alert_key FROM (
          SELECT alert_key, event_number, state, row_number() OVER (PARTITION BY alert_key ORDER BY event_number) AS place
          FROM storage.alert WHERE rule = '{rule}') AS events
        GROUP BY alert_key HAVING bool_or(event_number <> place) OR bool_or(state <> 2 - place % 2) LIMIT 20""")
