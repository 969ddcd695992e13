"""The service that Lytics posts trigger messages to: a post is answered with 200 once its messages are durable."""
