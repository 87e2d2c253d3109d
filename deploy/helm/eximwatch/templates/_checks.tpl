{{/* Values that do not go together, refused here rather than by a worker that ends with code 2 over and over. */}}
{{- define "eximwatch.check" -}}
{{- $settings := .Values.settings -}}
{{- $partitions := int64 ($settings.partitions | default 12) -}}
{{- if gt (int64 .Values.replicas) $partitions -}}
{{- fail (printf "replicas: %d workers for %d partitions (settings.partitions), the rest would have no work: lower replicas; the partitions of topics that exist are final" (int64 .Values.replicas) $partitions) -}}
{{- end -}}
{{- if and (not $settings.tls) (or .Values.kafka.ca.secret .Values.kafka.clientCertificate.secret .Values.topics.clientCertificate.secret) -}}
{{- fail "kafka.ca and clientCertificate do nothing without TLS: set settings.tls to true" -}}
{{- end -}}
{{- if $settings.sasl_mechanism -}}
{{- if not $settings.sasl_username -}}
{{- fail "settings.sasl_mechanism and settings.sasl_username belong together: set both or none" -}}
{{- end -}}
{{- if not .Values.kafka.password.secret -}}
{{- fail "settings.sasl_mechanism needs a password: name its secret in kafka.password.secret" -}}
{{- end -}}
{{- if not (or $settings.tls $settings.allow_sasl_without_tls) -}}
{{- fail "settings.sasl_mechanism without settings.tls would log in in the clear: set settings.tls, or where the network can be trusted settings.allow_sasl_without_tls" -}}
{{- end -}}
{{- else if or $settings.sasl_username .Values.kafka.password.secret .Values.topics.username .Values.topics.password.secret -}}
{{- fail "a user or password does nothing without a login: set settings.sasl_mechanism" -}}
{{- end -}}
{{- if and .Values.topics.username (not .Values.topics.password.secret) -}}
{{- fail "topics.username needs a password of its own: name its secret in topics.password.secret" -}}
{{- end -}}
{{- end -}}
