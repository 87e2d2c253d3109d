"""eximwatch: streaming detection of unusual exim4 child processes on Kafka."""
