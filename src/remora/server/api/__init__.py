"""The routes of the endpoint, one file for each route family, with their request bodies in `schema/`.

Owns the shapes of OpenAI's and vLLM's requests and answers. Never makes an answer: that is `generation`.
Start with `chat.py`.
"""
