"""The planted marketplace: three tasks on impressions of users and items."""
