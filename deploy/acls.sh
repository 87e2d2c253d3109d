#!/bin/sh
# Grants Eximwatch's users their rights on a Kafka with an authorizer: the fewest that do. Run it once, as a user who
# may change rights:
#
#   BOOTSTRAP=kafka-1.example.test:9093 ADMIN=admin.properties SOURCES="process-events" sh deploy/acls.sh
#
# ADMIN is the client configuration of that user. A principal that is set to nothing is passed over. What each right is
# for stands in deploy/README.md; `eximwatch topics acls` prints the same for the settings at hand.
set -eu

PREFIX=${PREFIX:-eximwatch}
SOURCES=${SOURCES:-process-events}
WORKER=${WORKER-User:eximwatch}
OPERATOR=${OPERATOR-User:eximwatch-operator}
PRODUCER=${PRODUCER-}
ANALYST=${ANALYST-}
KAFKA_ACLS=${KAFKA_ACLS:-kafka-acls.sh}
CHANGELOGS="$PREFIX-new_terms-changelog $PREFIX-lineage-changelog"
OURS="$PREFIX.matches $PREFIX.alerts $PREFIX.dead-letters $CHANGELOGS"

allow() {
  principal=$1
  shift
  [ -n "$principal" ] || return 0
  if [ -n "${BOOTSTRAP:-}" ]; then
    set -- --bootstrap-server "$BOOTSTRAP" ${ADMIN:+--command-config "$ADMIN"} "$@"
  fi
  "$KAFKA_ACLS" --add --allow-principal "$principal" "$@"
}

# eximwatch worker
for source in $SOURCES; do
  allow "$WORKER" --operation Read --operation DescribeConfigs --topic "$source"
done
allow "$WORKER" --operation Read --operation Write --operation DescribeConfigs --topic "$PREFIX.matches"
allow "$WORKER" --operation Write --operation DescribeConfigs --topic "$PREFIX.alerts"
allow "$WORKER" --operation Write --operation DescribeConfigs --topic "$PREFIX.dead-letters"
for changelog in $CHANGELOGS; do
  allow "$WORKER" --operation Read --operation Write --operation DescribeConfigs --topic "$changelog"
done
allow "$WORKER" --operation Read --group "$PREFIX"

# eximwatch topics create
for topic in $OURS; do
  allow "$OPERATOR" --operation Create --operation Describe --topic "$topic"
done

# eximwatch topics check
for topic in $SOURCES $OURS; do
  allow "$OPERATOR" --operation Describe --operation DescribeConfigs --topic "$topic"
done

# eximwatch dead-letters
allow "$OPERATOR" --operation Read --topic "$PREFIX.dead-letters"
for source in $SOURCES; do
  allow "$OPERATOR" --operation Read --topic "$source"
done
allow "$OPERATOR" --operation Write --topic "$PREFIX.matches"

# eximwatch explain
for topic in $SOURCES "$PREFIX.matches" "$PREFIX.alerts" $CHANGELOGS; do
  allow "$OPERATOR" --operation Read --topic "$topic"
done

# eximwatch produce, or a sensor
for source in $SOURCES; do
  allow "$PRODUCER" --operation Write --topic "$source"
done

# eximwatch alerts tail
allow "$ANALYST" --operation Read --topic "$PREFIX.alerts"
