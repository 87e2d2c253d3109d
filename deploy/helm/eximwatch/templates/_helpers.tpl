{{- define "eximwatch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters: pods, claims and the label of a set's revision add to it, and 63 is their limit. */}}
{{- define "eximwatch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "eximwatch.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "eximwatch.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "eximwatch.instance" -}}
app.kubernetes.io/name: {{ include "eximwatch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What selects workers, and never changes: a set's selector is immutable. */}}
{{- define "eximwatch.selector" -}}
{{ include "eximwatch.instance" . }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "eximwatch.labels" -}}
{{ include "eximwatch.instance" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "eximwatch.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{- define "eximwatch.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "eximwatch.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* A setting's value as the environment has it. Numbers of a values file are floats: 8388608 would be 8.388608e+06. */}}
{{- define "eximwatch.text" -}}
{{- if kindIs "slice" . -}}{{ join "," . }}
{{- else if kindIs "float64" . -}}{{ printf "%.0f" . }}
{{- else -}}{{ toString . }}
{{- end -}}
{{- end -}}

{{/*
Environment, mounts and volumes of a container, from a dict of
  root, settings, ca, password and clientCertificate (references to secrets), rules (the ConfigMap's name)
*/}}
{{- define "eximwatch.env" -}}
{{- range $name, $value := .settings }}
{{- if not (kindIs "invalid" $value) }}
- name: EXIMWATCH_{{ upper $name }}
  value: {{ include "eximwatch.text" $value | quote }}
{{- end }}
{{- end }}
{{- if .ca.secret }}
- name: EXIMWATCH_TLS_CA
  value: /etc/eximwatch/ca/ca.pem
{{- end }}
{{- if .clientCertificate.secret }}
- name: EXIMWATCH_TLS_CERT
  value: /etc/eximwatch/client/cert.pem
- name: EXIMWATCH_TLS_KEY
  value: /etc/eximwatch/client/key.pem
{{- end }}
{{- if .password.secret }}
- name: EXIMWATCH_SASL_PASSWORD_FILE
  value: /etc/eximwatch/login/password
{{- end }}
{{- if .root.Values.rules }}
- name: EXIMWATCH_RULES
  value: /etc/eximwatch/rules
{{- end }}
{{- end -}}

{{- define "eximwatch.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .ca.secret }}
- name: ca
  mountPath: /etc/eximwatch/ca
  readOnly: true
{{- end }}
{{- if .clientCertificate.secret }}
- name: client
  mountPath: /etc/eximwatch/client
  readOnly: true
{{- end }}
{{- if .password.secret }}
- name: login
  mountPath: /etc/eximwatch/login
  readOnly: true
{{- end }}
{{- if .root.Values.rules }}
- name: rules
  mountPath: /etc/eximwatch/rules
  readOnly: true
{{- end }}
{{- end -}}

{{- define "eximwatch.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if .ca.secret }}
- name: ca
  secret:
    secretName: {{ .ca.secret }}
    defaultMode: 0440
    items:
      - key: {{ .ca.key }}
        path: ca.pem
{{- end }}
{{- if .clientCertificate.secret }}
- name: client
  secret:
    secretName: {{ .clientCertificate.secret }}
    defaultMode: 0440
    items:
      - key: {{ .clientCertificate.certKey }}
        path: cert.pem
      - key: {{ .clientCertificate.keyKey }}
        path: key.pem
{{- end }}
{{- if .password.secret }}
- name: login
  secret:
    secretName: {{ .password.secret }}
    defaultMode: 0440
    items:
      - key: {{ .password.key }}
        path: password
{{- end }}
{{- if .root.Values.rules }}
- name: rules
  configMap:
    name: {{ .rules }}
{{- end }}
{{- end -}}

{{/* The group is what lets a plain user read secrets and write the volume; both belong to root. */}}
{{- define "eximwatch.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "eximwatch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
