"""eximwatch: streaming detection of unusual programs below exim4 on Kafka."""
