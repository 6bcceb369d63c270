-- One database a service: what one of them does to its tables is nobody else's concern.
CREATE DATABASE mlflow;
CREATE DATABASE trainer;
CREATE DATABASE gatekeeper;
CREATE DATABASE drift;
