"""Object stores and web servers: the one way to what lies behind a URL.

`location` has the address that stands where a path is expected, `stores` what each kind of store
can do, `attempts` the repetition of requests that failed, `ranged` a file that is read by ranges
ahead of its use, `cache` whole objects on the local disk, `outputs` files on their way to a store.
"""
