"""What a Hugging Face Space starts: the server, its pages and the browser node, on one port."""

from potluck.space import main

if __name__ == "__main__":
    main()
