-- Which tasks have not ended (their states are below 5): lists of what waits and runs look at no others.
CREATE INDEX task_open ON task (n) WHERE state < 5;
